"""Batch jobs end at random moments by random means, the gateway comes and goes: each job's last state is right.

A hundred jobs in ``make trust``, sixteen in ``make test``.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
import subprocess
import sys
import threading
import time

import gateways
import pytest
from gateways import answer
from support import AT_LENGTH, eventually

from sedna_metrics.cli import main

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX'")
JOBS, AT_ONCE, INTERVAL_SECONDS = 100 if AT_LENGTH else 16, 4, 0.4
ENDINGS = ("normal", "exception", "exit", "SIGTERM", "SIGTERM", "SIGINT", "SIGKILL")
SEED = int(os.environ.get("CHAOS_SEED", "20261125"))

#: Counts, and notes in shared memory how far it has come, which is there still when the process is not.
JOB = """
import mmap, os, signal, struct, sys, time
import sedna_metrics
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
ending, seconds, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
worker = sedna_metrics.start()
il = worker.incremental_learning
with open(path, "r+b") as file:
    truth = mmap.mmap(file.fileno(), 8)

@il.inference
def infer():
    time.sleep(0.0005)

def work():
    count, until = 0, time.monotonic() + seconds
    print("ready", flush=True)
    while time.monotonic() < until:
        infer()
        il.hard_sample()
        count += 1
        struct.pack_into("q", truth, 0, count)

work()
if ending == "exception":
    raise RuntimeError
elif ending == "exit":
    sys.exit(3)
"""


def test_the_last_state_of_each_job_is_right(gateway, tmp_path):
    chance = random.Random(SEED)
    stop = threading.Event()

    def misbehave():
        bad = [gateways.hang, gateways.reset, answer("503 Service Unavailable"), gateways.nonsense]
        while not stop.wait(chance.uniform(0.1, 1.0)):
            gateway.behaviour = chance.choice([gateways.good, gateways.good, *bad])

    trouble = threading.Thread(target=misbehave)
    trouble.start()
    waiting, running, wrong = list(range(JOBS)), {}, []
    truths, endings, lives = {}, {}, {}
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                number = waiting.pop()
                ending = ENDINGS[number % len(ENDINGS)]
                # Who is killed lives long enough for a missing interval to be told from a missing life.
                seconds = chance.uniform(3, 5) if ending == "SIGKILL" else chance.uniform(0.05, 1.5)
                path = tmp_path / f"truth-{number}"
                path.write_bytes(bytes(8))
                env = {
                    "PATH": os.environ["PATH"], "JOB_NAME": f"job-{number}", "WORKER_NAME": "train-worker-x",
                    "NODE_NAME": "edge", "SEDNA_METRICS_PUSHGATEWAY_URL": gateway.url, "SEDNA_METRICS_LOG": "off",
                    "SEDNA_METRICS_PUSH_INTERVAL": str(INTERVAL_SECONDS), "SEDNA_METRICS_PUSH_TIMEOUT": "0.3",
                    "SEDNA_METRICS_PUSH_DEADLINE": "1", "SEDNA_METRICS_SPOOL_DIR": str(tmp_path / "spool"),
                }  # fmt: skip
                mine = seconds if not ending.startswith("SIG") else 60
                process = subprocess.Popen(
                    [sys.executable, "-c", JOB, ending, str(mine), str(path)], env=env, stdout=-1, stderr=-1
                )
                running[number] = (process, seconds)
                endings[number], truths[number], lives[number] = ending, path, seconds
            for number, (process, seconds) in list(running.items()):
                if endings[number].startswith("SIG") and not hasattr(process, "kill_at"):
                    process.stdout.readline()
                    process.kill_at = time.monotonic() + seconds
                if hasattr(process, "kill_at") and time.monotonic() > process.kill_at:
                    process.send_signal(getattr(__import__("signal"), endings[number]))
                    process.kill_at = float("inf")
                if process.poll() is not None:
                    process.communicate()
                    del running[number]
            time.sleep(0.01)
    finally:
        stop.set()
        trouble.join()
    gateway.behaviour = gateways.good
    flush = ["flush", "--pushgateway-url", gateway.url, "--spool-dir", str(tmp_path / "spool")]
    eventually(lambda: main(flush) == 0 and not list((tmp_path / "spool").glob("*.spool")))

    said = last_states(gateway)
    for number in range(JOBS):
        with truths[number].open("r+b") as file, mmap.mmap(file.fileno(), 8) as memory:
            (truth,) = struct.unpack_from("q", memory)
        shown = said.get(f"job-{number}", 0)
        if endings[number] == "SIGKILL":
            # What was counted in an interval, in a push that was under way and given up, and on a busy machine.
            missing = truth * (INTERVAL_SECONDS + 0.3 + 1.5) / lives[number]
            good = truth - missing <= shown <= truth + 1
        else:
            good = 0 <= shown - truth <= 1  # a signal may come between counting and noting it
        if not good:
            wrong.append((number, endings[number], shown, truth))
    assert wrong == [], f"with CHAOS_SEED={SEED}"
    assert len(said) >= JOBS - list(endings.values()).count("SIGKILL")


def last_states(gateway):
    """What a Pushgateway would hold."""
    said = {}
    for request in gateway.accepted:
        for line in request.text.splitlines():
            if line.startswith("sedna_hard_samples_total{"):
                said[line.split('task="')[1].split('"')[0]] = float(line.split()[-1])
    return said
