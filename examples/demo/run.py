"""Four real tasks as separate processes; what Prometheus shows is compared with what really happened.

Run by ``make demo``. Without Prometheus and Pushgateway an embedded scraper takes their place.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent
sys.path[:0] = [str(HERE), str(EXAMPLES.parent / "tests")]
import servers  # noqa: E402
from backends import Backend, Embedded, Real  # noqa: E402

SECONDS = float(os.environ.get("DEMO_SECONDS", "10"))
"""How long the tasks take, beside the time of their computations."""
OUTPUT = Path(os.environ.get("DEMO_OUTPUT") or EXAMPLES.parent / "build" / "demo")
TIMEOUT_SECONDS = 110
SETTLE_SECONDS = float(os.environ.get("DEMO_SETTLE_SECONDS", "20"))


def free_ports(count: int) -> List[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Demo:
    """The workers, started with the environment that Sedna's Global Manager would give them."""

    def __init__(self, folder: Path, backend: Backend, ports: List[int], seconds: float = 0) -> None:
        self.folder = folder
        self.backend = backend
        self.seconds = seconds
        self.processes: Dict[str, Tuple[str, subprocess.Popen]] = {}
        cloud, edge_metrics, cloud_metrics, aggregator = ports
        ji = {"SERVICE_NAME": "digits-joint-inference", "BIG_MODEL_PORT": str(cloud), "BIG_MODEL_BIND_PORT": str(cloud)}
        self._start("joint_inference/cloud_worker.py", "cloudworker-demo", {**ji, **self._scraped(cloud_metrics)})
        self._start("joint_inference/edge_worker.py", "edgeworker-demo", {**ji, **self._scraped(edge_metrics)})
        il = {"JOB_NAME": "digits-incremental", "NODE_NAME": "edge-node"}
        self._start("incremental_learning/worker.py", "train-worker-demo", il)
        ll = {"JOB_NAME": "digits-lifelong", "KB_SERVER": "http://kb:9020", "NODE_NAME": "edge-node"}
        self._start("lifelong_learning/worker.py", "train-worker-demo-ll", ll)
        fl = {"JOB_NAME": "digits-federated", "AGG_BIND_PORT": str(aggregator), "AGG_PORT": str(aggregator)}
        self._start("federated_learning/aggregator.py", "aggworker-demo", {**fl, "NODE_NAME": "cloud-node"})
        for number, part in enumerate(("0:300", "300:700", "700:1500"), start=1):
            own = {"NODE_NAME": f"edge-node-{number}", "DATASET_NAME": f"digits-{number}", "DATASET_SLICE": part}
            self._start("federated_learning/train_worker.py", f"trainworker-demo{number}", {**fl, **own})

    def _scraped(self, port: int) -> Dict[str, str]:
        return {"SEDNA_METRICS_PORT": str(port), "SEDNA_METRICS_HOST": "127.0.0.1"}

    def _start(self, script: str, worker: str, environment: Dict[str, str]) -> None:
        log = (self.folder / f"{worker}.log").open("w")
        environment = {
            **os.environ,
            "NAMESPACE": "demo",
            "WORKER_NAME": worker,
            "DEMO_FOLDER": str(self.folder),
            "DEMO_SECONDS": str(self.seconds),
            "SEDNA_METRICS_PUSHGATEWAY_URL": self.backend.push_url,
            "SEDNA_METRICS_PUSH_INTERVAL": "0.5",
            "SEDNA_METRICS_SPOOL_DIR": str(self.folder / "spool"),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        task = environment.get("JOB_NAME") or environment["SERVICE_NAME"]
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / script)], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        log.close()
        self.processes[worker] = (task, process)

    def truth(self) -> Dict[str, List[Dict[str, Any]]]:
        """What each finished worker says should be seen."""
        return {path.stem: json.loads(path.read_text()) for path in self.folder.glob("*worker-*.json")}

    def failures(self) -> List[str]:
        """Workers that ended badly, with the end of their log."""
        return [
            f"{worker} ended with status {process.returncode}:\n{(self.folder / f'{worker}.log').read_text()[-2000:]}"
            for worker, (_, process) in self.processes.items()
            if process.poll() not in (None, 0)
        ]

    def stop(self) -> None:
        """Services end by themselves; what has not finished is terminated."""
        (self.folder / "stop").touch()
        finished = self.truth()
        for worker, (_, process) in self.processes.items():
            if worker not in finished:
                process.terminate()
        for _, process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Progress(NamedTuple):
    """What a task's line shows: the value of a series, and what it comes to."""

    task: str
    title: str
    series: str
    total: int
    unit: str

    def line(self, value: float) -> str:
        filled = int(20 * min(value / self.total, 1))
        return f"  {self.title:22}[{'#' * filled:20}]  {value:.0f} of {self.total} {self.unit}"


STEPS = ("sedna_training_step_duration_seconds_count", "training steps")
PROGRESS = (
    Progress("digits-joint-inference", "joint inference", "sedna_inference_samples_total", 897, "images"),
    Progress("digits-incremental", "incremental learning", STEPS[0], 3 * 12 * 8, STEPS[1]),
    Progress("digits-lifelong", "lifelong learning", STEPS[0], 3 * 10 * 4, STEPS[1]),
    Progress("digits-federated", "federated learning", "sedna_aggregation_round", 5, "rounds"),
)


class Lines:
    """One line for each task: drawn again and again in a terminal, else printed when the task is done."""

    def __init__(self) -> None:
        self._printed: Set[Progress] = set()

    def show(self, backend: Backend, is_last: bool) -> None:
        values = {each: backend.value(each.series, {"task": each.task}) or 0 for each in PROGRESS}
        if sys.stdout.isatty():
            up = f"\033[{len(PROGRESS)}A" if self._printed else ""
            print(up + "\n".join(f"{each.line(value)}\033[K" for each, value in values.items()), flush=True)
            self._printed.update(PROGRESS)
            return
        for each, value in values.items():
            if each not in self._printed and (is_last or value >= each.total):
                print(each.line(value), flush=True)
                self._printed.add(each)


def watch(demo: Demo) -> None:
    """Show how far the tasks are, by their own metrics, until all are done and Prometheus has seen it."""
    timeout = TIMEOUT_SECONDS + demo.seconds
    deadline = time.monotonic() + timeout
    lines = Lines()
    while len(demo.truth()) < len(demo.processes):
        lines.show(demo.backend, False)
        if demo.failures():
            raise SystemExit("\n".join(demo.failures()))
        if time.monotonic() > deadline:
            raise SystemExit(f"not done after {timeout:.0f} seconds; done are: {', '.join(demo.truth())}")
        time.sleep(0.3)
    settle(demo)
    lines.show(demo.backend, True)


def settle(demo: Demo) -> None:
    """Wait until what the workers emitted last has been scraped; what differs after that will go on to differ."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(demo.backend.settle_seconds)
        if all(_is_same(shown, row) for _, row, shown in _seen(demo)):
            return


def compare(demo: Demo) -> Tuple[int, str]:
    """Write the table, print what differs; returns the number of values that differ, and a sentence about all."""
    table = [f"{'proposal':27}{'series':72}{'shown':>12}{'truth':>12}"]
    different = []
    last = ""
    for worker, row, shown in _seen(demo):
        if worker != last:
            table += ["", f"task {demo.processes[worker][0]}, worker {worker}"]
            last = worker
        labels = ", ".join(f"{name}={value}" for name, value in row["labels"].items())
        series = row["series"] + (f" {{{labels}}}".replace(str(demo.folder), "...") if labels else "")
        same = _is_same(shown, row)
        texts = _short(shown), _short(row["value"])
        table.append(f"{row['proposal']:27}{series:72}{texts[0]:>12}{texts[1]:>12}  {'same' if same else 'DIFFERENT'}")
        if not same:
            different.append(f"{worker}: {series} is {texts[0]}, and should be {texts[1]}")
    rows = sum(map(len, demo.truth().values()))
    (OUTPUT / "values.txt").write_text("\n".join(table) + "\n")
    print()
    for each in different:
        say(f"DIFFERENT: {each}")
    summary = f"{rows - len(different)} of {rows} values are as they should be."
    say(f"{summary} All of them are in {_relative('values.txt')}")
    return len(different), summary


def say(text: str) -> None:
    """Print in lines of 79 columns, without breaking words."""
    print(textwrap.fill(text, 79, break_long_words=False, break_on_hyphens=False), flush=True)


def _relative(name: str) -> str:
    return os.path.relpath(OUTPUT / name)


def _seen(demo: Demo) -> Iterator[Tuple[str, Dict[str, Any], Optional[float]]]:
    """Worker, expectation and what is shown, one by one."""
    for worker, expectations in sorted(demo.truth().items()):
        for row in expectations:
            labels = {"task": demo.processes[worker][0], "worker": worker, **row["labels"]}
            yield worker, row, demo.backend.value(row["series"], labels)


def _is_same(shown: Optional[float], row: Dict[str, Any]) -> bool:
    return shown is not None and math.isclose(shown, row["value"], rel_tol=1e-12, abs_tol=1e-12)


def _short(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}"


def keep(backend: Backend, targets: List[str]) -> None:
    """Let all run until Ctrl-C."""
    edge, cloud = targets
    print("\nThese go on until Ctrl-C:")
    if backend.history:
        print(f"  Prometheus    {backend.history.url}")
    print(f"  Pushgateway   {backend.push_url}")
    print(f"  edge worker   http://{edge}/metrics")
    print(f"  cloud worker  http://{cloud}/metrics", flush=True)
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    print("\nStopping.")


def main() -> int:
    """Run the demo; returns its exit status, 0 if everything is as it should be."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    if not all(map(servers.find, servers.PACKAGES)):
        say("Fetching Prometheus and Pushgateway, which is done once.")
    reasons = servers.fetch()
    began = time.time()
    ports = free_ports(6)
    workers, (prometheus_port, gateway_port) = ports[:4], ports[4:]
    targets = [f"127.0.0.1:{port}" for port in workers[1:3]]
    with tempfile.TemporaryDirectory(prefix="sedna-demo-") as name, ExitStack() as started:
        folder = Path(name)
        if os.environ.get("DEMO_EMBEDDED") or reasons:
            for program, reason in reasons.items():
                say(f"{program} is missing: {reason}")
            backend: Backend = Embedded(targets)
        else:
            backend = Real(folder, prometheus_port, gateway_port, targets)
        started.callback(backend.close)
        say(f"Four tasks run, and {backend.name} watches them:")
        demo = Demo(folder, backend, workers, SECONDS)
        started.callback(demo.stop)
        watch(demo)
        wrong, summary = compare(demo)
        if backend.history:
            import page  # only now: it takes a second, for which the workers would wait

            (OUTPUT / "index.html").write_text(page.write(backend.history, began, time.time(), summary))
            say(f"Open the curves in a browser: {_relative('index.html')}")
        else:
            say("There is no page with curves: that needs Prometheus.")
        say(f"It took {time.time() - began:.0f} seconds.")
        if os.environ.get("DEMO_KEEP"):
            keep(backend, targets)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted.")
