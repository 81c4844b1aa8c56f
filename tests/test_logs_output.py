"""Lines on their way out: whole, in order, and never in the worker's way."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import logging.config
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import eventually

from sedna_metrics.logs import _output, configure_logging
from sedna_metrics.logs._output import Output

LOGGER = logging.getLogger("mine")
PREAMBLE = """
import logging, os, signal, sys, threading
from sedna_metrics.logs import configure_logging
log = configure_logging(identity={"task": "t"})
logger = logging.getLogger("mine")
"""


def run(body, **how):
    done = subprocess.run([sys.executable, "-c", PREAMBLE + body], capture_output=True, timeout=30, **how)
    return done.returncode, [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()], done.stderr


def messages(body):
    status, lines, errors = run(body)
    assert (status, errors) == (0, b"")
    return [line["message"] for line in lines]


@pytest.fixture
def pipe():
    """A pipe of 4 KiB whose writing end is a text stream."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ if hasattr(fcntl, "F_SETPIPE_SZ") else 1031, 4096)
    stream = os.fdopen(writer, "w")
    yield reader, stream
    stream.close()
    os.close(reader)


@pytest.fixture
def no_second_opening(monkeypatch):
    """As in a container whose stdout belongs to another user."""
    real = os.open

    def refuse(path, *more):
        if str(path).startswith("/proc/self/fd/"):
            raise PermissionError(path)
        return real(path, *more)

    monkeypatch.setattr(os, "open", refuse)


def read_all(reader, count):
    """Lines from a pipe, until there are ``count`` of them."""
    text = b""
    while text.count(b"\n") < count:
        text += os.read(reader, 65536)
    return text.decode().splitlines()


def line(number, size=100):
    return (f"{number:06d}" + "x" * (size - 7) + "\n").encode()


def fill(output, count=300):
    for number in range(count):
        output.write(line(number))


@pytest.mark.parametrize("way", ["opened again", "by the thread"])
def test_a_pipe_that_nobody_reads_holds_nobody_up_and_loses_nothing_once_it_is_read(way, pipe, request):
    if way == "by the thread":
        request.getfixturevalue("no_second_opening")
    reader, stream = pipe
    output = Output(stream)
    writing = threading.Thread(target=fill, args=(output,), daemon=True)
    writing.start()
    writing.join(10)
    assert not writing.is_alive()
    assert output.dropped() == 0
    lines = read_all(reader, 300)
    assert [int(each[:6]) for each in lines] == list(range(300))
    output.close()


@pytest.mark.parametrize("way", ["opened again", "by the thread"])
def test_what_the_full_queue_does_not_take_is_dropped_and_counted(way, pipe, request, monkeypatch):
    if way == "by the thread":
        request.getfixturevalue("no_second_opening")
    monkeypatch.setattr(_output, "MAX_QUEUED_RECORDS", 100)
    reader, stream = pipe
    output = Output(stream)
    fill(output, 1000)
    kept = 1000 - int(output.dropped())
    assert 100 <= kept < 300
    numbers = [int(each[:6]) for each in read_all(reader, kept)]
    assert numbers == sorted(set(numbers))
    assert output.flush()
    output.write(line(5000))
    assert read_all(reader, 1)[0].startswith("005000")
    output.close()


def test_the_queue_is_bounded_in_bytes(pipe, monkeypatch):
    monkeypatch.setattr(_output, "MAX_QUEUED_BYTES", 50_000)
    _, stream = pipe
    output = Output(stream)
    fill(output, 1000)
    assert 450 <= output.dropped() <= 500
    monkeypatch.setattr(_output, "FLUSH_SECONDS", 0.0)
    output.flush(0)


def test_a_flush_ends_in_time_where_nobody_reads(pipe):
    _, stream = pipe
    output = Output(stream)
    fill(output)
    began = time.monotonic()
    assert not output.flush(0.2)
    assert time.monotonic() - began < 2


def test_what_is_written_at_once_needs_no_thread():
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        output = Output(stream)
        output.write(b"one\n")
        assert os.read(read, 100) == b"one\n"
        assert "sedna-metrics-log" not in [thread.name for thread in threading.enumerate() if thread is output._thread]
        assert output._thread is None
        output.close()
    os.close(read)


def test_the_flag_of_the_shared_pipe_is_left_alone(pipe):
    _, stream = pipe
    output = Output(stream)
    output.write(b"x\n")
    assert os.get_blocking(stream.fileno())
    output.close()


def test_a_socket_does_as_well():
    ours, theirs = socket.socketpair()
    stream = ours.makefile("w")
    output = Output(stream)
    fill(output, 10_000)
    received = b""
    while received.count(b"\n") < 10_000:
        received += theirs.recv(65536)
    assert [int(each[:6]) for each in received.splitlines()] == list(range(10_000))
    output.close()
    for each in (stream, ours, theirs):
        each.close()


def test_a_file_does_as_well(tmp_path):
    with open(tmp_path / "log", "w") as stream:
        output = Output(stream)
        fill(output, 50)
        output.close()
    assert len((tmp_path / "log").read_text().splitlines()) == 50


@pytest.mark.parametrize("stream", [None, object()], ids=["none", "no stream"])
def test_no_stdout_at_all_is_counted_and_harms_nothing(stream):
    output = Output(stream)
    output.write(b"x\n")
    assert output.dropped() == 1
    assert output.flush()
    output.close()


def test_a_closed_stream_is_counted_and_harms_nothing():
    stream = io.StringIO()
    with configure_logging("json", "INFO", {}, stream) as log:
        LOGGER.info("one")
        stream.close()
        LOGGER.info("two")
        assert log.dropped() == 1


def test_a_reader_that_has_gone_is_counted_and_harms_nothing(pipe):
    reader, stream = pipe
    output = Output(stream)
    duplicate = os.dup(reader)
    os.close(reader)
    os.close(duplicate)
    output.write(b"x\n")
    assert output.dropped() == 1
    os.dup2(os.open("/dev/null", os.O_RDONLY), reader)  # for the fixture to close
    output.close()


def test_an_ordinary_exit_loses_none():
    assert messages("for number in range(3000): logger.info('%d', number)") == [str(each) for each in range(3000)]


def test_an_exit_while_the_reader_is_slow_loses_none():
    # logging.shutdown() does not know our handler any more, after dictConfig.
    program = f"""{PREAMBLE}
import logging.config
logging.config.dictConfig({{"version": 1, "disable_existing_loggers": False}})
for number in range(1000): logger.info("%d", number)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        fcntl.fcntl(process.stdout, 1031, 4096)
        lines = [json.loads(each)["message"] for each in process.stdout]
        assert process.wait(10) == 0
    assert lines == [str(number) for number in range(1000)]


def test_an_exit_where_nobody_reads_comes_in_time():
    program = PREAMBLE + "for number in range(3000): logger.info('%d', number)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.wait(20) == 0


def test_a_kill_loses_nothing_that_was_logged():
    status, lines, _ = run("logger.info('last words'); os.kill(os.getpid(), signal.SIGKILL)")
    assert status == -9
    assert [each["message"] for each in lines] == ["last words"]


def test_it_goes_on_after_dict_config_has_closed_it():
    assert messages("""
import logging.config
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
logger.info("after")
logging.shutdown()
logger.info("after shutdown")
""") == ["after", "after shutdown"]


def test_a_forked_child_writes_its_own_and_not_its_parents():
    assert sorted(
        messages("""
logger.info("before")
child = os.fork()
if child == 0:
    logger.info("child")
    os._exit(0)
os.waitpid(child, 0)
logger.info("parent")
""")
    ) == ["before", "child", "parent"]


def test_a_child_forked_while_the_log_is_in_use_is_not_stuck_and_leaves_the_queue_to_its_parent(pipe):
    reader, stream = pipe
    output = Output(stream)
    fill(output, 300)
    holding, release = threading.Event(), threading.Event()

    def hold():
        with output._lock:
            holding.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    child = os.fork()
    if child == 0:
        output.write(line(999_999))
        os._exit(0 if len(output._queue) <= 1 else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    thread.join()
    assert status == 0
    lines = read_all(reader, 300)
    assert [each for each in map(int, (each[:6] for each in lines)) if each < 999_999] == list(range(300))
    output.close()


def test_a_signals_handler_may_log_wherever_it_interrupts():
    said = messages("""
import time
count = 0
def handler(number, frame):
    global count
    count += 1
    logger.info("signal")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
end = time.monotonic() + 1
while time.monotonic() < end:
    logger.info("loop")
signal.setitimer(signal.ITIMER_REAL, 0)
logger.info("%d", count)
""")
    assert said.count("signal") == int(said[-1]) > 10


def test_a_signal_amid_a_write_finds_its_line_written_after_it():
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        output = Output(stream)
        real, lines = output._write, [b"inner\n"]

        def interrupted(data):
            if lines:
                output.write(lines.pop())
            return real(data)

        output._write = interrupted
        output.write(b"outer\n")
        assert os.read(read, 100) == b"outer\ninner\n"
        output.close()
    os.close(read)


def test_a_del_an_exit_function_and_the_shutdown_may_log():
    assert messages("""
import atexit
class Thing:
    def __del__(self): logger.info("del")
thing = Thing()
del thing
atexit.register(lambda: logger.info("exit"))
forever = Thing()
forever.itself = forever
atexit.register(lambda: globals().update(late=Thing()))
""")[:2] == ["del", "exit"]


def test_threads_write_whole_lines():
    said = messages("""
def work(name):
    for number in range(300): logger.info("%s %d %s", name, number, "x" * 3000)
threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
for each in threads: each.start()
for each in threads: each.join()
""")
    assert sorted(each.split()[0] for each in said) == sorted("abcd" * 300)
    for name in "abcd":
        assert [int(each.split()[1]) for each in said if each[0] == name] == list(range(300))


def test_what_the_worker_prints_does_not_cut_a_line_in_two():
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + "for number in range(2000):\n    print('p' * 37)\n    logger.info('r')"],
        capture_output=True,
        text=True,
        timeout=30,
        env=environ,
    )
    lines = done.stdout.splitlines()
    assert lines.count("p" * 37) == 2000
    assert [json.loads(each)["message"] for each in lines if each != "p" * 37] == ["r"] * 2000


def test_the_worker_shows_how_many_were_dropped(start, monkeypatch):
    worker = start(log="json")
    stream = worker._log._output
    stream._write = lambda data: 1 / 0
    LOGGER.info("lost")
    assert worker._instruments.samples()["sedna_metrics_log_records_dropped_total", ()] == 1
    worker.close()


def test_nothing_is_left_after_it_is_closed():
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        fcntl.fcntl(write, 1031, 4096)
        output = Output(stream)
        fill(output)
        read_all(read, 300)
        output.close()
        output.write(b"late\n")
        assert output.dropped() == 1
    os.close(read)
    eventually(lambda: (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before)
