"""However a process ends, its last state arrives, and it ends as it would have without us."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import gateways
import pytest
from support import eventually

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX'")

PRELUDE = """
import os, signal, sys, threading, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, and a shell's background SIGINT
signal.signal(signal.SIGINT, signal.default_int_handler)
def begin():
    import sedna_metrics
    worker = sedna_metrics.start(export="push", push_interval=60, log="off")
    worker.joint_inference.hard_sample(7)
    worker.flush()
    worker.joint_inference.hard_sample(5)  # what only the last push can tell
    return worker
def ready():
    print("ready", flush=True)
"""


def script(body):
    return PRELUDE + textwrap.dedent(body)


def environment(gateway, tmp_path):
    return {
        "PATH": os.environ["PATH"],
        "JOB_NAME": "task",
        "NODE_NAME": "edge",
        "SEDNA_METRICS_PUSHGATEWAY_URL": gateway.url,
        "SEDNA_METRICS_SPOOL_DIR": str(tmp_path / "spool"),
        "SEDNA_METRICS_PUSH_DEADLINE": "3",
    }


def hard_samples(gateway, request=-1):
    lines = gateway.requests[request].text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("sedna_hard_samples_total{"))


ENDINGS = {
    "normally": ("worker = begin()", None),
    "exception": ("worker = begin(); 1/0", None),
    "sys.exit": ("worker = begin(); sys.exit(3)", None),
    "exit in a with block": ("with begin() as worker: raise SystemExit('no')", None),
    "keyboard interrupt": ("worker = begin(); ready(); time.sleep(60)", "SIGINT"),
    "terminated": ("worker = begin(); ready(); time.sleep(60)", "SIGTERM"),
    "hung up": ("worker = begin(); ready(); time.sleep(60)", "SIGHUP"),
    "a server thread": (
        """
        import http.server
        server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        threading.Thread(target=server.serve_forever).start()
        worker = begin(); ready()
        """,
        "SIGTERM",
    ),
    "an asyncio loop": (
        """
        import asyncio
        async def main():
            worker = begin(); ready()
            await asyncio.sleep(60)
        asyncio.run(main())
        """,
        "SIGTERM",
    ),
    "an asyncio loop with its own handler": (
        """
        import asyncio
        async def main():
            worker = begin()
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            ready()
            await stop.wait()
            sys.exit(5)
        asyncio.run(main())
        """,
        "SIGTERM",
    ),
    "a handler of the worker's from before": (
        """
        def handler(number, frame):
            print("handled", flush=True)
            sys.exit(9)
        signal.signal(signal.SIGTERM, handler)
        worker = begin(); ready(); time.sleep(60)
        """,
        "SIGTERM",
    ),
    "a handler of the worker's from after": (
        """
        worker = begin()
        def handler(number, frame):
            print("handled", flush=True)
            sys.exit(9)
        before = signal.signal(signal.SIGTERM, handler)
        ready(); time.sleep(60)
        """,
        "SIGTERM",
    ),
    "a handler that calls the one before": (
        """
        worker = begin()
        before = signal.getsignal(signal.SIGTERM)
        def handler(number, frame):
            if callable(before):
                before(number, frame)
            print("handled", flush=True)
            time.sleep(0.5)
            os._exit(9)
        signal.signal(signal.SIGTERM, handler)
        ready(); time.sleep(60)
        """,
        "SIGTERM",
    ),
    "in a long call into C": ("import zlib, hashlib; worker = begin(); ready(); "
                              "hashlib.pbkdf2_hmac('sha256', b'', b'', 3_000_000); time.sleep(60)", "SIGTERM"),
    "an excepthook of the worker's": (
        "sys.excepthook = lambda *args: print('hooked', flush=True)\nworker = begin(); 1/0", None),
    "ignored, then killed": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); worker = begin(); ready(); time.sleep(0.5)", "SIGTERM"),
}  # fmt: skip


def run(body, number, env, command=()):
    process = subprocess.Popen(
        [*command, sys.executable, "-c", body], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if number is not None:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(0.05)
        process.send_signal(getattr(signal, number))
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, out, err


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_last_state_arrives_and_the_status_is_as_without_us(gateway, tmp_path, ending):
    body, number = ENDINGS[ending]
    began = time.monotonic()
    status, out, err = run(script(body), number, environment(gateway, tmp_path))
    assert time.monotonic() - began < 10
    without = (
        script(body)
        .replace("    import sedna_metrics\n", "    import unittest.mock\n")
        .replace("sedna_metrics.start", "unittest.mock.MagicMock")
    )
    expected = run(without, number, {"PATH": os.environ["PATH"]})
    assert (status, out) == expected[:2]
    assert err.replace("unittest", "").count("Traceback") == expected[2].count("Traceback"), err
    assert hard_samples(gateway) == 12


def test_with_the_gateway_away_the_last_state_is_in_the_spool(gateway, tmp_path):
    gateway.behaviour = gateways.hang
    body = script("worker = begin(); ready(); time.sleep(60)").replace("worker.flush()", "")
    began = time.monotonic()
    status, _, _ = run(body, "SIGTERM", environment(gateway, tmp_path))
    assert status == -signal.SIGTERM
    assert time.monotonic() - began < 3 + 3
    from sedna_metrics.exposition.spool import Spool

    (entry,) = Spool(tmp_path / "spool", 1 << 20, 1e6).entries()
    assert b'sedna_hard_samples_total{task="task",worker="' in entry.body
    assert b" 12.0" in entry.body


def test_after_sigkill_at_most_one_interval_is_missing(gateway, tmp_path):
    body = script("worker = begin()\nfor _ in range(1000):\n  worker.joint_inference.hard_sample(); time.sleep(0.01)\n"
                  "  if _ == 150: ready()").replace("push_interval=60", "push_interval=0.5")  # fmt: skip
    status, _, _ = run(body, "SIGKILL", environment(gateway, tmp_path))
    assert status == -signal.SIGKILL
    assert hard_samples(gateway) >= 12 + 150 - 75


@pytest.mark.skipif(
    shutil.which("unshare") is None or os.geteuid() != 0, reason="a PID namespace needs unshare and root"
)
@pytest.mark.parametrize("handler", [True, False], ids=["with a handler", "without"])
def test_the_first_process_of_a_container_too(gateway, tmp_path, handler):
    """As PID 1 a signal without a handler does nothing: the state is pushed, and the worker goes on as without us."""
    install = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))" if handler else ""
    body = script(f"""
        assert os.getpid() == 1
        {install}
        worker = begin()
        ready()
        time.sleep(2)
        os._exit(6)  # no atexit: what arrived is what the signal made arrive
    """)
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", body],
        env=environment(gateway, tmp_path), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    (child,) = subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()
    os.kill(int(child), signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == (4 if handler else 6)
    assert hard_samples(gateway) == 12


@pytest.fixture(params=["as process 1", "under a handler of its own"])
def survive(request):
    """Runs a script that a SIGTERM does not end; sends it one when it is ready."""
    chained = """
        before = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda number, frame: before(number, frame))
        ready()
    """
    command, is_first = [], request.param == "as process 1"
    if is_first:
        if shutil.which("unshare") is None or os.geteuid() != 0:
            pytest.skip("a PID namespace needs unshare and root")
        command = ["unshare", "--pid", "--fork", "--kill-child"]

    def run_on(start, then, env):
        body = script(start) + textwrap.dedent("ready()\n" if is_first else chained) + textwrap.dedent(then)
        process = subprocess.Popen([*command, sys.executable, "-c", body], env=env, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        find = ["pgrep", "-P", str(process.pid)]
        os.kill(int(subprocess.check_output(find)) if is_first else process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
        return process.returncode, out

    return run_on


def test_a_job_that_survives_a_signal_has_failed_until_it_completes(gateway, tmp_path, survive):
    start = """
        import sedna_metrics
        worker = sedna_metrics.start(export="push", push_interval=60, log="off")
        training = worker.incremental_learning.training(epochs=1)
        training.begin()
        training.loss(2)
    """
    then = """
        time.sleep(1)
        training.loss(1)
        training.end()
    """
    env = {**environment(gateway, tmp_path), "WORKER_NAME": "train-worker-1"}
    assert survive(start, then, env) == (0, "")
    status = 'sedna_stage_status{{status="{}",task="task",task_stage="train",worker="train-worker-1"}} 1.0'
    loss = 'sedna_training_loss{{task="task",worker="train-worker-1"}} {}'
    at_signal = [request.text for request in gateway.requests if status.format("failed") in request.text]
    assert [loss.format(2.0) in text for text in at_signal] == [True]
    assert status.format("completed") in gateway.requests[-1].text
    assert loss.format(1.0) in gateway.requests[-1].text


def test_a_service_that_survives_a_signal_still_counts(gateway, tmp_path, survive):
    start = """
        import sedna_metrics, urllib.request
        worker = sedna_metrics.start(export="both", port=0, push_interval=60, log="off")
        worker.joint_inference.hard_sample(7)
    """
    then = """
        time.sleep(1)
        worker.joint_inference.hard_sample(5)
        lines = urllib.request.urlopen(worker.url).read().decode().splitlines()
        print(*(line.split()[-1] for line in lines if line.startswith("sedna_hard_samples_total{")))
    """
    assert survive(start, then, environment(gateway, tmp_path)) == (0, "12.0\n")
    assert [hard_samples(gateway, n) for n in range(len(gateway.requests))][-2:] == [7, 12]


@pytest.mark.parametrize("survive", ["as process 1"], indirect=True)
def test_a_replica_whose_container_stops_leaves_nothing_behind(gateway, tmp_path, survive):
    start = """
        import sedna_metrics
        worker = sedna_metrics.start(export="both", port=0, push_interval=60, log="off", sd_dir=os.environ["SD"])
        worker.flush()
        print(len(os.listdir(os.environ["SD"])), file=sys.stderr)
    """
    env = {**environment(gateway, tmp_path), "WORKER_NAME": "trackingworker-1", "SD": str(tmp_path / "sd")}
    assert survive(start, "time.sleep(1); os._exit(0)", env) == (0, "")
    assert [request.method for request in gateway.requests][-1] == "DELETE"
    assert os.listdir(tmp_path / "sd") == []


@pytest.mark.parametrize("ends", [True, False], ids=["ends well", "is killed"])
@pytest.mark.parametrize(
    "work", ["", "with worker.incremental_learning.training(): pass"], ids=["idle", "between stages"]
)
def test_a_job_that_a_signal_finds_outside_its_work_has_failed_unless_it_ends_well(
    gateway, tmp_path, survive, work, ends
):
    start = f"""
        import sedna_metrics
        worker = sedna_metrics.start(export="push", push_interval=60, log="off")
        {work}
    """
    env = {**environment(gateway, tmp_path), "WORKER_NAME": "train-worker-1"}
    assert survive(start, "time.sleep(1)" if ends else "time.sleep(1); os._exit(0)", env) == (0, "")
    lines = [line for line in gateway.requests[-1].text.splitlines() if line.startswith("sedna_stage_status{")]
    assert [line.split('"')[1] for line in lines if line.endswith(" 1.0")] == ["completed" if ends else "failed"]


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)"])
def test_success_is_told_if_the_body_ended_well(gateway, tmp_path, ending):
    run(script(f"with begin() as worker: {ending}"), None, environment(gateway, tmp_path))
    assert ("sedna_worker_last_success_timestamp_seconds{" in gateway.requests[-1].text) == (ending == "pass")


@pytest.mark.parametrize("worker", ["train-worker-1", "inferworker-1", ""])
def test_training_that_a_signal_ends_has_failed_in_every_kind_of_worker(gateway, tmp_path, worker):
    body = """
        import sedna_metrics
        worker = sedna_metrics.start(export="push", push_interval=60, log="off")
        with worker.incremental_learning.training():
            ready()
            time.sleep(60)
    """
    env = {**environment(gateway, tmp_path), "WORKER_NAME": worker}
    run(script(body), "SIGTERM", env)
    lines = gateway.requests[-1].text.splitlines()
    failed = [line for line in lines if line.startswith('sedna_stage_status{status="failed",')]
    assert [line.split()[-1] for line in failed] == ["1.0"]


def test_a_second_signal_does_not_wait(gateway, tmp_path):
    times = {"SEDNA_METRICS_PUSH_DEADLINE": "20", "SEDNA_METRICS_PUSH_TIMEOUT": "20"}
    env = {**environment(gateway, tmp_path), **times}
    body = script("worker = begin(); ready(); time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", body], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    gateway.behaviour, before = gateways.hang, len(gateway.requests)
    process.send_signal(signal.SIGTERM)
    eventually(lambda: len(gateway.requests) > before)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 0.9, "neither the deadline nor the second that a hanging push is waited for"
    assert process.returncode == -signal.SIGTERM


def test_a_worker_that_another_thread_closed_leaves_signals_as_they_were(gateway, tmp_path):
    body = """
        worker = begin()
        thread = threading.Thread(target=worker.close); thread.start(); thread.join()
        path = os.environ["FILE"]
        files = [open(path, "w") for _ in range(8)]  # one of them may have the number of a descriptor of ours
        signal.signal(signal.SIGUSR1, lambda *_: None)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.1)
        for file in files: file.close()
        assert open(path).read() == ""
        again = begin()  # over the handlers of the closed one
        thread = threading.Thread(target=again.close); thread.start(); thread.join()
        ready(); time.sleep(60)
    """
    environ = {**environment(gateway, tmp_path), "FILE": str(tmp_path / "users")}
    status, _, err = run(script(body), "SIGTERM", environ)
    assert (status, err) == (-signal.SIGTERM, "")
