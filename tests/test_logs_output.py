"""Lines on their way out: whole, in order, at once; a broken stdout harms nothing."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest
from support import samples

from sedna_metrics.logs import configure_logging

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


def test_a_record_is_one_write_of_a_whole_line():
    written = []

    class Stream(io.StringIO):
        def write(self, text):
            written.append(text)
            return len(text)

    with configure_logging("json", "INFO", {}, Stream()):
        LOGGER.info("x" * 9000)
    (line,) = written
    assert line.endswith("}\n")


@pytest.mark.parametrize("stream", [object(), io.BytesIO()], ids=["not a stream", "a stream of bytes"])
def test_a_stream_that_takes_no_text_is_counted_and_harms_nothing(stream):
    with configure_logging("json", "INFO", {}, stream) as log:
        LOGGER.info("one")
        assert log.dropped() == 1


def test_without_any_stdout_records_are_counted(mocker):
    mocker.patch.object(sys, "stdout", None)
    with configure_logging("json", "INFO", {}) as log:
        LOGGER.info("one")
        assert log.dropped() == 1


def test_a_closed_stream_is_counted_and_harms_nothing():
    stream = io.StringIO()
    with configure_logging("json", "INFO", {}, stream) as log:
        LOGGER.info("one")
        stream.close()
        LOGGER.info("two")
        assert log.dropped() == 1


def test_a_reader_that_has_gone_is_counted_and_harms_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    with configure_logging("json", "INFO", {}, stream) as log:
        LOGGER.info("x")
        assert log.dropped() == 1
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_an_ordinary_exit_loses_none():
    assert messages("for number in range(3000): logger.info('%d', number)") == [str(each) for each in range(3000)]


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


def test_events_go_on_after_a_dict_config_that_disables_existing_loggers():
    assert messages("""
import logging.config, sedna_metrics
log.close()
worker = sedna_metrics.start(export="off")
logging.config.dictConfig({"version": 1})
worker.incremental_learning.iteration(1)
worker.incremental_learning.iteration("x")
""") == [
        "worker.started",
        "iteration.started",
        "sedna_iteration: invalid value 'x': it is not a number (TypeError); the last valid value is kept",
    ]


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


@pytest.mark.parametrize("size", [1, 9000])
def test_what_the_worker_prints_does_not_cut_a_line_in_two(size):
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    body = f"for number in range(500):\n    print('p' * 37)\n    logger.info('r' * {size})"
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + body], capture_output=True, text=True, timeout=30, env=environ
    )
    lines = done.stdout.splitlines()
    assert lines.count("p" * 37) == 500
    assert [json.loads(each)["message"] for each in lines if each != "p" * 37] == ["r" * size] * 500


def test_the_worker_exposes_how_many_records_were_dropped(start, mocker):
    stream = io.StringIO()
    mocker.patch.object(sys, "stdout", stream)
    worker = start(log="json")
    stream.close()
    LOGGER.info("lost")
    assert samples(worker)["sedna_metrics_log_records_dropped_total", ()] == 1
