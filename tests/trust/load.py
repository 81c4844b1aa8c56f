"""Many threads, many scrapes, many hours: what is lost, what is torn, what grows."""

from __future__ import annotations

import os
import resource
import threading
import time
from typing import Any, Dict, Tuple

import requests
from support import samples

import sedna_metrics

THREADS = 16
QUIET = {"log": "off", "host": "127.0.0.1", "port": 0}
ENVIRON = {"JOB_NAME": "load", "WORKER_NAME": "edgeworker-x"}


def increments(total: int) -> Dict[str, Any]:
    """Updates that are lost of ``total``, from threads that come and go while somebody scrapes."""
    each, births = total // THREADS // 10, 10
    with sedna_metrics.start(environ=ENVIRON, export="pull", **QUIET) as worker:
        hard_sample = worker.joint_inference.hard_sample
        scrapes, over = 0, threading.Event()

        def lives() -> None:
            for _ in range(each):
                hard_sample()

        def gives_birth() -> None:
            for _ in range(births):
                thread = threading.Thread(target=lives)
                thread.start()
                thread.join()

        def scrape() -> None:
            nonlocal scrapes
            while not over.is_set():
                requests.get(worker.url, timeout=30)
                scrapes += 1

        scraper = threading.Thread(target=scrape)
        scraper.start()
        threads = [threading.Thread(target=gives_birth) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        scraper.join()
        done = each * births * THREADS
        counted = samples(worker)["sedna_hard_samples_total", ()]
    return {"updates": done, "lost": done - int(counted), "threads": births * THREADS, "scrapes": scrapes}


def torn(scrapes: int) -> Dict[str, Any]:
    """Scrapes in which a histogram's buckets, count and sum do not belong together, under threads that observe."""
    with sedna_metrics.start(environ=ENVIRON, export="off", log="off") as worker:
        observe = worker.joint_inference.edge_inference._recorder.observe
        over, wrong, seen = threading.Event(), 0, 0

        def lives() -> None:
            while not over.is_set():
                observe(0.25)  # exact in binary: the sum is the count's quarter

        threads = [threading.Thread(target=lives, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        name = "sedna_inference_duration_seconds"
        for _ in range(scrapes):
            lines = [line for line in worker._instruments.render().splitlines() if line.startswith(name)]
            value = {line.partition("{")[0] + line.partition('le="')[2][:4]: float(line.split()[-1]) for line in lines}
            count = value[f"{name}_count"]
            is_whole = value[f"{name}_bucket+Inf"] == count == value[f"{name}_sum"] * 4 == value[f'{name}_bucket0.5"']
            wrong += not is_whole
            seen = max(seen, int(count))
        over.set()
        for thread in threads:
            thread.join()
    return {"scrapes": scrapes, "torn": wrong, "observations": seen}


def soak(hours: float, gateway_url: str) -> Dict[str, Any]:
    """What grows in so many hours' worth of updates (100 a second), scrapes and pushes (four a minute)."""
    updates, looks = int(hours * 360_000), int(hours * 240)
    with sedna_metrics.start(
        environ=ENVIRON, export="both", pushgateway_url=gateway_url, push_interval=3600, **QUIET
    ) as worker:
        ji = worker.joint_inference

        @ji.edge_inference
        def infer(x: int) -> int:
            return x

        measured = []
        for number in range(looks):
            for x in range(updates // looks):
                ji.hard_sample(infer(x) % 7 == 0)
            assert requests.get(worker.url, timeout=5).ok
            worker.flush()
            if number in (looks // 3, looks - 1):  # by then all that is made once has been made
                measured.append((_kilobytes(), *_threads_and_files()))
    (memory, threads, files), (memory_after, threads_after, files_after) = measured
    return {
        "updates": updates,
        "looks": looks,
        "kilobytes": memory_after - memory,
        "threads": threads_after - threads,
        "files": files_after - files,
    }


def _threads_and_files() -> Tuple[int, int]:
    """The fewest within two seconds: the last scrape's connection may take a moment to close."""
    seen = []
    for _ in range(20):
        seen.append((threading.active_count(), len(os.listdir("/proc/self/fd"))))
        time.sleep(0.1)
    return min(threads for threads, _ in seen), min(files for _, files in seen)


def _kilobytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024
