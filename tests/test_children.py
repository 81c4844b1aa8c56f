"""What child processes count appears at the main process's /metrics, once, whatever the start method."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from support import value

import sedna_metrics
from sedna_metrics.exposition import children
from sedna_metrics.exposition._files import atomic_write

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks are POSIX'")


def run(tmp_path, body, timeout=60, **environment):
    """Run a script of its own; it prints what it wants to be seen."""
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(body))
    env = {
        "PATH": os.environ["PATH"], "JOB_NAME": "task", "WORKER_NAME": "worker", "SEDNA_METRICS_LOG": "off",
        "SEDNA_METRICS_HOST": "127.0.0.1", "SEDNA_METRICS_PORT": "0", "PYTHONPATH": os.pathsep.join(sys.path),
        **environment,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(path)],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items() - {("task", "task"), ("worker", "worker")})): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


COUNTING = """
import multiprocessing, os, sys, time, urllib.request
import sedna_metrics
worker = sedna_metrics.start()

def scrape():
    return urllib.request.urlopen(worker.url).read().decode()

def work(n):
    il = worker.incremental_learning
    for _ in range(n):
        with il.inference():
            il.hard_sample()
    return os.getpid()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_children_count_is_the_workers(tmp_path, method):
    body = (
        COUNTING
        + f"""
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    work(10)
    with context.Pool(3) as pool:
        pids = set(pool.map(work, [7] * 20, chunksize=1))
        pool.close()
        pool.join()
    assert os.getpid() not in pids
    process = context.Process(target=work, args=(100,))
    process.start()
    process.join()
    print(scrape())
"""
    )
    seen = samples(run(tmp_path, body))
    assert seen["sedna_hard_samples_total",] == 10 + 140 + 100
    assert seen["sedna_inferences_total", ("location", "edge")] == 250
    assert seen["sedna_inference_duration_seconds_count", ("location", "edge")] == 250
    assert seen["sedna_inferences_in_progress", ("location", "edge")] == 0
    assert seen["sedna_metrics_internal_errors_total",] == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_pool_executor(tmp_path, method):
    body = (
        COUNTING
        + f"""
if __name__ == "__main__":
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("{method}")) as pool:
        assert len(list(pool.map(work, [5] * 10))) == 10
    print(scrape())
"""
    )
    assert samples(run(tmp_path, body))["sedna_hard_samples_total",] == 50


def test_what_only_a_child_mentions_appears_with_its_help_and_all_that_follows_from_it(tmp_path):
    body = (
        COUNTING
        + """
def train():
    il = worker.incremental_learning
    il.iteration(3)
    with il.training(samples=5, epochs=2) as training:
        for _ in training.epochs():
            training.loss([0.9, 0.25])
        training.output_model("/model")
    with il.evaluation(samples=4) as evaluation:
        evaluation.new_model("/model", precision=[0.5, 1.0])

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=train)
    process.start(); process.join()
    worker.incremental_learning.evaluation().__enter__().old_model("/old", precision=[0.25, 0.75])
    print(scrape())
"""
    )
    seen = samples(run(tmp_path, body))
    assert seen["sedna_iteration",] == 3
    assert seen["sedna_training_loss",] == 0.25
    assert seen["sedna_training_samples",] == 5
    assert ("sedna_stage_status", ("status", "completed"), ("task_stage", "train")) not in seen, (
        "a stage is its parent's"
    )
    assert seen["sedna_training_output_model_info", ("url", "/model")] == 1
    assert seen["sedna_eval_score", ("metric", "precision"), ("model", "new")] == 0.75
    assert seen["sedna_eval_score", ("metric", "precision"), ("model", "old")] == 0.5
    assert seen["sedna_worker_last_success_timestamp_seconds",] > 0


def test_nothing_is_lost_when_a_child_is_killed_a_second_after_counting(tmp_path):
    body = (
        COUNTING
        + """
def count_and_wait(queue):
    work(1000)
    worker.incremental_learning.inference().__enter__()  # under way when it dies
    queue.put(1)
    time.sleep(60)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    processes = [context.Process(target=count_and_wait, args=(queue,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        queue.get()
    time.sleep(1)
    print(scrape(), "=====")
    for process in processes:
        process.kill(); process.join()
    time.sleep(0.2)
    print(scrape())
"""
    )
    before, after = run(tmp_path, body).split("=====")
    assert samples(after)["sedna_hard_samples_total",] == 4000
    assert samples(after)["sedna_inferences_total", ("location", "edge")] == 4000
    assert samples(before)["sedna_inferences_in_progress", ("location", "edge")] == 4
    assert samples(after)["sedna_inferences_in_progress", ("location", "edge")] == 0


def test_a_terminated_child_tells_the_rest_and_dies_of_the_signal(tmp_path):
    body = (
        COUNTING
        + """
def count_and_wait(queue):
    work(10)
    queue.put(1)
    time.sleep(60)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=count_and_wait, args=(queue,))
    process.start(); queue.get(); process.terminate(); process.join()
    print(process.exitcode)
    print(scrape())
"""
    )
    exitcode, text = run(tmp_path, body).split("\n", 1)
    assert int(exitcode) == -signal.SIGTERM
    assert samples(text)["sedna_hard_samples_total",] == 10


def test_a_child_that_is_terminated_at_once_leaves_the_parents_exports_alone(tmp_path):
    body = """
    import multiprocessing, os, sys, time, urllib.request
    import sedna_metrics
    worker = sedna_metrics.start(sd_dir=os.environ["TARGETS"])
    worker.joint_inference.hard_sample()
    for _ in range(30):
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        process.start()
        process.terminate()
        process.join(10)
        assert process.exitcode == -15, process.exitcode
    print(len(os.listdir(os.environ["TARGETS"])), urllib.request.urlopen(worker.url).read().decode())
    """
    count, _, text = run(tmp_path, body, TARGETS=str(tmp_path / "targets")).partition(" ")
    assert count == "1"
    assert samples(text)["sedna_hard_samples_total",] == 1


def test_pools_end_and_all_that_they_did_counts(tmp_path):
    body = """
    import multiprocessing, time, urllib.request
    import sedna_metrics
    worker = sedna_metrics.start()

    def work(_):
        sedna_metrics.running().joint_inference.hard_sample()

    for _ in range(20):
        with multiprocessing.get_context("fork").Pool(3) as pool:
            pool.map(work, range(30))
    time.sleep(0.2)
    print(urllib.request.urlopen(worker.url).read().decode())
    """
    assert samples(run(tmp_path, body, timeout=50))["sedna_hard_samples_total",] == 600


def test_the_latest_value_of_a_gauge_counts_also_if_it_is_the_one_before_the_fork_or_nan(tmp_path):
    body = """
    import os, sys, time, urllib.request
    import sedna_metrics
    worker = sedna_metrics.start()
    training = worker.incremental_learning.training()
    training.begin()
    for values in ((0.3, 0.5), (float("nan"),)):
        training.loss(0.5)
        if os.fork() == 0:
            for value in values:
                training.loss(value)
                worker.flush()
                time.sleep(0.2)
            os._exit(0)
        for _ in range(20):
            time.sleep(0.05)
            text = urllib.request.urlopen(worker.url).read().decode()
        os.wait()
        print([line for line in text.splitlines() if line.startswith("sedna_training_loss{")][0].split()[1])
    """
    assert run(tmp_path, body).split() == ["0.5", "NaN"]


def test_a_child_goes_on_after_a_passing_failure(tmp_path):
    body = """
    import os, sys, time, urllib.request
    import sedna_metrics
    worker = sedna_metrics.start()
    if os.fork() == 0:
        replace = os.replace
        def fails(*_, **__):
            raise OSError(24, "too many open files")
        os.replace = fails
        worker.joint_inference.hard_sample()
        time.sleep(1.2)
        os.replace = replace
        worker.joint_inference.hard_sample()
        time.sleep(1.2)
        os.kill(os.getpid(), 9)
    os.wait()
    print(urllib.request.urlopen(worker.url).read().decode())
    """
    assert samples(run(tmp_path, body))["sedna_hard_samples_total",] == 2


@pytest.mark.parametrize(("is_gone", "said"), [(False, ["True"]), (True, ["False"])])
def test_a_flush_in_a_child_of_a_pushing_worker_returns_whether_its_counts_are_safe(tmp_path, gateway, is_gone, said):
    body = f"""
    import os, shutil, sys
    import sedna_metrics
    worker = sedna_metrics.start()
    if {is_gone}:
        shutil.rmtree(os.environ["SEDNA_METRICS_PARENT"].partition(" ")[2])
    if os.fork() == 0:
        worker.joint_inference.hard_sample()
        print(worker.flush(), flush=True)
        os._exit(0)
    os.wait()
    """
    settings = {"EXPORT": "push", "PUSHGATEWAY_URL": gateway.url, "SPOOL_DIR": str(tmp_path / "spool")}
    assert run(tmp_path, body, **{f"SEDNA_METRICS_{name}": value for name, value in settings.items()}).split() == said


def test_a_plain_fork_and_a_fork_of_a_fork(tmp_path):
    body = (
        COUNTING
        + """
work(1)
if os.fork() == 0:
    work(10)
    if os.fork() == 0:
        work(100)
        sys.exit(0)
    os.wait()
    sys.exit(0)
os.wait()
work(1)
print(scrape())
"""
    )
    assert samples(run(tmp_path, body))["sedna_hard_samples_total",] == 112


def test_a_fork_while_threads_count_loses_nothing_and_deadlocks_nobody(tmp_path):
    body = (
        COUNTING
        + """
import threading
stop = threading.Event()
def hammer():
    while not stop.is_set():
        work(50)
        scrape()
threads = [threading.Thread(target=hammer) for _ in range(3)]
for thread in threads: thread.start()
children = []
for _ in range(30):
    pid = os.fork()
    if pid == 0:
        work(1000)
        worker.close()
        os._exit(0)
    children.append(pid)
    time.sleep(0.01)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
before = scrape()
work(1)
print(before)
"""
    )
    seen = samples(run(tmp_path, body))
    assert seen["sedna_hard_samples_total",] >= 30_000
    assert seen["sedna_hard_samples_total",] % 50 == 0
    assert seen["sedna_hard_samples_total",] == seen["sedna_inferences_total", ("location", "edge")]
    assert seen["sedna_inferences_in_progress", ("location", "edge")] == 0
    assert seen["sedna_metrics_internal_errors_total",] == 0


def test_children_are_in_the_last_push(tmp_path, gateway):
    body = (
        COUNTING
        + """
if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=work, args=(9,))
    process.start(); process.join()
"""
    )
    run(tmp_path, body, SEDNA_METRICS_EXPORT="push", SEDNA_METRICS_PUSHGATEWAY_URL=gateway.url,
        SEDNA_METRICS_SPOOL_DIR=str(tmp_path / "spool"))  # fmt: skip
    assert samples(gateway.requests[-1].text)["sedna_hard_samples_total",] == 9
    assert len({request.path for request in gateway.requests}) == 1, "children do not push"


def test_a_child_leaves_the_parents_port_and_discovery_file_alone(tmp_path):
    body = (
        COUNTING
        + f"""
import glob
process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
process.start()
print(len(glob.glob({str(tmp_path / "sd")!r} + "/*.json")))
port = int(worker.url.split(":")[2].split("/")[0])
worker.close()
import socket
for attempt in range(300):  # the child does not keep it, but may not have come to that yet
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            probe.listen()
        break
    except OSError:
        time.sleep(0.1)
else:
    print("taken")
print(len(glob.glob({str(tmp_path / "sd")!r} + "/*.json")))
process.kill()
"""
    )
    assert run(tmp_path, body, SEDNA_METRICS_SD_DIR=str(tmp_path / "sd")).split() == ["1", "0"]


def test_another_worker_that_a_worker_starts_is_no_child(tmp_path):
    body = (
        COUNTING
        + """
import subprocess
code = "import sedna_metrics; w = sedna_metrics.start(); print(w.url is None)"
for name in ("worker", "another"):
    env = {**os.environ, "WORKER_NAME": name}
    print(subprocess.check_output([sys.executable, "-c", code], env=env, text=True).strip())
worker.close()
print(subprocess.check_output([sys.executable, "-c", code], text=True).strip())
"""
    )
    assert run(tmp_path, body).split() == ["True", "False", "False"]


def test_a_child_of_a_process_that_has_not_started_says_so(tmp_path):
    body = """
import multiprocessing, logging, sys
def child():
    import sedna_metrics
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    with sedna_metrics.start() as worker:
        print(worker.url is not None)
        sedna_metrics.start()
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        process = multiprocessing.get_context(method).Process(target=child)
        process.start(); process.join()
"""
    said = run(tmp_path, body)
    assert said.count("True") == 2
    assert said.count("call start() in the parent") == 2, "once in each"


def test_uvicorn_with_several_workers(tmp_path):
    pytest.importorskip("uvicorn")
    (tmp_path / "app.py").write_text(
        textwrap.dedent("""
        import os, sedna_metrics
        ji = sedna_metrics.start().joint_inference
        @ji.serve
        async def infer():
            return str(os.getpid()).encode()
        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                while True:
                    message = await receive()
                    await send({"type": message["type"] + ".complete"})
                    if message["type"] == "lifespan.shutdown":
                        return
            body = await infer()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": body})
    """)
    )
    body = (
        COUNTING
        + """
if __name__ == "__main__":
    import signal, socket, threading, uvicorn
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0)); port = probe.getsockname()[1]
    def use():
        pids, done = set(), 0
        while done < 60:
            try:
                pids.add(urllib.request.urlopen(f"http://127.0.0.1:{port}/").read())
                done += 1
            except OSError:
                time.sleep(0.1)
        time.sleep(1)
        print(scrape(), "=====", len(pids), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Thread(target=use).start()
    try:
        uvicorn.run("app:app", port=port, workers=2, log_level="error", app_dir=os.path.dirname(__file__))
    except SystemExit:
        pass
    os._exit(0)
"""
    )
    text, pids = run(tmp_path, body).split("=====")
    assert samples(text)["sedna_served_inferences_total",] == 60
    assert int(pids) >= 1


@pytest.fixture
def folder():
    """The main process's folder for snapshots, with its worker and the name of a living child's file."""
    with sedna_metrics.start(export="pull", port=0, host="127.0.0.1", log="off", process_metrics="off") as worker:
        yield worker, Path(os.environ["SEDNA_METRICS_PARENT"].partition(" ")[2]), f"{os.getpid()}-{'0' * 8}.json"


def report(values, errors=0, rejected=0):
    return json.dumps({"values": values, "errors": errors, "rejected": rejected})


def test_a_childs_file_is_added_once_and_then_its_changes(folder):
    worker, path, name = folder
    for count in (5, 5, 8):
        (path / name).write_text(report([["sedna_hard_samples_total", [], count]], rejected=count))
        requests.get(worker.url, timeout=5)
        assert value(worker, "sedna_hard_samples_total") == count
        assert value(worker, "sedna_metrics_rejected_values_total") == count


def test_a_render_waits_for_the_files_that_another_is_reading(folder, mocker):
    worker, path, name = folder
    (path / name).write_text(report([["sedna_hard_samples_total", [], 5]]))
    reading, go_on, read = threading.Event(), threading.Event(), children.read_own

    def slow(path, limit):
        reading.set()
        go_on.wait(10)
        return read(path, limit)

    mocker.patch.object(children, "read_own", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(requests.get, worker.url, timeout=5)
        assert reading.wait(5)
        second = pool.submit(requests.get, worker.url, timeout=5)
        time.sleep(0.2)
        go_on.set()
        for answer in (first, second):
            assert "sedna_hard_samples_total" in answer.result().text


@pytest.mark.parametrize("before", ["os.open", "fcntl.flock"])
def test_a_folder_that_another_start_takes_for_an_abandoned_one_is_made_again(tmp_path, mocker, before):
    mocker.patch("tempfile.tempdir", str(tmp_path))

    def another_starts(*arguments, **options):
        mocker.stop(patch)
        children.make_folder().forget()
        return original(*arguments, **options)

    original = {"os.open": os.open, "fcntl.flock": fcntl.flock}[before]
    patch = mocker.patch(before, another_starts)
    lock = children.make_folder()
    atomic_write(lock.path / "x", b"1")
    assert os.path.isfile(lock.path / "x")
    lock.forget()


def test_a_folder_that_cannot_be_locked_is_given_up(tmp_path, mocker):
    mocker.patch("tempfile.tempdir", str(tmp_path))
    mocker.patch("fcntl.flock", side_effect=OSError("not on this file system"))
    with pytest.raises(OSError, match="no lock"):
        children.make_folder()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_is_no_error(folder):
    worker, path, _ = folder
    shutil.rmtree(path)
    assert requests.get(worker.url, timeout=5).status_code == 200
    assert value(worker, "sedna_metrics_internal_errors_total") == 0


def test_a_write_that_a_signal_handler_makes_amid_another_tears_no_file(tmp_path, mocker):
    path, opened = tmp_path / "x", os.fdopen

    def interrupted(*arguments, **options):
        mocker.stop(patch)
        atomic_write(path, b"of the handler", sync=False)
        return opened(*arguments, **options)

    patch = mocker.patch("os.fdopen", interrupted)
    atomic_write(path, b"whole", sync=False)
    assert path.read_bytes() == b"whole"
    mocker.patch("os.replace", side_effect=OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, b"lost", sync=False)
    assert os.listdir(tmp_path) == ["x"], "no temporary file stays"


HOSTILE = {
    "not JSON": "{",
    "not an object": "[]",
    "an unknown metric": report([["os_system", [], 1]]),
    "a state": report([["sedna_stage_status", ["train"], "failed"]]),
    "too many labels": report([["sedna_inference_duration_seconds", ["edge", "x"], [1, 0, [1], 1]]]),
    "a label that is not text": report([["sedna_node_samples", [{}], 1]]),
    "a long label": report([["sedna_node_samples", ["x" * 2000], 1]]),
    "a negative counter": report([["sedna_hard_samples_total", [], -5]]),
    "a huge counter": report([["sedna_hard_samples_total", [], 1e300]]),
    "a counter that is NaN": '{"values": [["sedna_hard_samples_total", [], NaN]], "errors": 0, "rejected": 0}',
    "a counter that is text": report([["sedna_hard_samples_total", [], "5"]]),
    "other buckets": report([["sedna_inference_duration_seconds", ["edge"], [1, 0, [1], 1.0]]]),
    "an info with other labels": report([["sedna_deploy_model_info", [], [{"node": "x"}]]]),
    "errors that are text": report([], errors="many"),
    "deeply nested": "[" * 100_000,
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_file_adds_nothing_and_the_scrape_goes_on(folder, attack):
    worker, path, name = folder
    before = requests.get(worker.url, timeout=5).text
    (path / name).write_text(HOSTILE[attack])
    for _ in range(2):
        after = requests.get(worker.url, timeout=5)
        assert after.status_code == 200
    differing = set(after.text.splitlines()) ^ set(before.splitlines())
    assert all("internal_errors_total" in line for line in differing)
    assert value(worker, "sedna_metrics_internal_errors_total") == 1, "once for each version of the file"


def test_special_large_and_linked_files_are_not_read(folder, tmp_path):
    worker, path, name = folder
    (tmp_path / "target").write_text(report([["sedna_hard_samples_total", [], 7]]))
    os.mkfifo(path / name)
    (path / f"{os.getpid()}-{'1' * 8}.json").symlink_to(tmp_path / "target")
    (path / f"{os.getpid()}-{'2' * 8}.json").write_text(report([["sedna_hard_samples_total", [], 7]]) + " " * (2 << 20))
    (path / f"{os.getpid()}-{'3' * 8}.json").mkdir()
    (path / "notes.txt").write_text("mine")
    assert requests.get(worker.url, timeout=5).status_code == 200
    assert value(worker, "sedna_hard_samples_total") is None


def test_a_file_that_cannot_be_read_costs_no_descriptor(folder):
    worker, path, _ = folder
    requests.get(worker.url, timeout=5)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        (path / f"{os.getpid()}-{number:08}.json").mkdir()
        assert requests.get(worker.url, timeout=5).status_code == 200
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_the_file_of_a_dead_child_counts_once_though_it_cannot_be_removed(folder, mocker):
    worker, path, _ = folder
    dead = f"4194305-{'0' * 8}.json"  # no process has this number
    (path / dead).write_text(report([["sedna_hard_samples_total", [], 7]]))
    mocker.patch("os.unlink", side_effect=PermissionError("read-only"))
    (path / f"{os.getpid()}-{'1' * 8}.json").write_text(report([["sedna_unseen_samples_total", [], 3]]))
    for _ in range(3):
        assert requests.get(worker.url, timeout=5).status_code == 200
    assert value(worker, "sedna_hard_samples_total") == 7
    assert value(worker, "sedna_unseen_samples_total") == 3
    assert value(worker, "sedna_metrics_internal_errors_total") > 0
    mocker.stopall()
    for _ in range(2):
        assert value(worker, "sedna_hard_samples_total") == 7


def test_a_folder_that_others_can_enter_is_not_used_any_more(folder):
    worker, path, name = folder
    (path / name).write_text(report([["sedna_hard_samples_total", [], 7]]))
    path.chmod(0o777)
    assert requests.get(worker.url, timeout=5).status_code == 200
    assert value(worker, "sedna_hard_samples_total") is None
    assert value(worker, "sedna_metrics_internal_errors_total") > 0


def test_the_folder_goes_with_the_worker_and_a_killed_ones_with_the_next_start(tmp_path):
    body = """
import os, signal, sys, sedna_metrics
worker = sedna_metrics.start()
print(os.environ["SEDNA_METRICS_PARENT"].partition(" ")[2], flush=True)
if sys.argv[1:] == ["killed"]:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environ = {**os.environ, "TMPDIR": str(tmp_path), "SEDNA_METRICS_LOG": "off", "SEDNA_METRICS_HOST": "127.0.0.1"}
    environ.pop("SEDNA_METRICS_PARENT", None)
    command = [sys.executable, "-c", body]
    killed = subprocess.run([*command, "killed"], env=environ, capture_output=True, text=True).stdout.strip()
    assert os.path.isdir(killed)
    (tmp_path / "sedna-metrics-children-mine").mkdir(mode=0o755)
    orderly = subprocess.run(command, env=environ, capture_output=True, text=True).stdout.strip()
    assert not os.path.exists(orderly)
    assert not os.path.exists(killed)
    assert [path.name for path in tmp_path.iterdir()] == ["sedna-metrics-children-mine"], "not a private folder"


def test_without_a_folder_children_are_not_counted_and_the_worker_says_so(start, mocker, caplog):
    mocker.patch("tempfile.mkdtemp", side_effect=OSError(30, "Read-only file system"))
    worker = start(export="pull", port=0, host="127.0.0.1")
    assert requests.get(worker.url, timeout=5).ok
    assert "child processes are not counted: [Errno 30] Read-only file system" in caplog.text
