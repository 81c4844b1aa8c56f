"""Sedna's and uvicorn's records, warnings and what nobody catches: one line each, on stdout, nothing on stderr."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

SET_UP = """
import logging, os, sys, threading, warnings
from sedna_metrics.logs import configure_logging
log = configure_logging(identity={"task": "t"})
"""
#: Sedna's lib/sedna/common/log.py in short, with colorlog's handler as a plain one.
SEDNA = """
import logging, os
class Logger:
    def __init__(self, name=os.getenv("JOB_NAME", "sedna")):
        self.logger = logging.getLogger(name)
        self.logger.addHandler(logging.StreamHandler())
        self.logger.setLevel("INFO")
        self.logger.propagate = False
LOGGER = Logger().logger
"""


def run(*parts, status=0, **environ):
    environment = {**os.environ, **environ}
    done = subprocess.run([sys.executable, "-c", "\n".join(parts)], capture_output=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr.decode()) == (status, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def messages(*parts, **environ):
    return [line["message"] for line in run(*parts, **environ)]


@pytest.fixture
def sedna(tmp_path):
    """A stand-in for Sedna's library, in the environment of a process."""
    package = tmp_path / "sedna" / "common"
    package.mkdir(parents=True)
    (tmp_path / "sedna" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "log.py").write_text(SEDNA)
    return {"PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("job", [None, "my-job", ""], ids=["unset", "named", "root"])
def test_sednas_logger_is_brought_in_whenever_it_is_imported(order, job, sedna):
    use = "from sedna.common.log import LOGGER"
    parts = [use, SET_UP] if order == "before" else [SET_UP, use]
    environ = {**sedna, **({} if job is None else {"JOB_NAME": job})}
    lines = run(*parts, "LOGGER.info('from sedna'); logging.info('from me')", **environ)
    name = {None: "sedna", "my-job": "my-job", "": "root"}[job]
    assert [(line["logger"], line["message"]) for line in lines] == [(name, "from sedna"), ("root", "from me")]


def test_the_import_is_otherwise_what_it_was(sedna):
    assert messages(
        SET_UP,
        """
import sedna.common.log, importlib
spec = sedna.common.log.__spec__
assert spec.loader.get_source("sedna.common.log").strip().startswith("import logging")
importlib.reload(sedna.common.log).LOGGER.info("once")
log.close()
assert [handler.stream for handler in sedna.common.log.LOGGER.handlers] == [sys.stderr] * 2
assert not sedna.common.log.LOGGER.propagate
""",
        **sedna,
    ) == ["once"]


def test_the_other_package_called_sedna_is_left_alone(sedna, tmp_path):
    (tmp_path / "sedna" / "common" / "log.py").write_text("LOGGER = 'a string'\n")
    assert messages(SET_UP, "import sedna.common.log; logging.info(sedna.common.log.LOGGER)", **sedna) == ["a string"]


def test_a_module_that_cannot_be_imported_fails_as_without_us(sedna, tmp_path):
    (tmp_path / "sedna" / "common" / "log.py").write_text("raise ZeroDivisionError\n")
    body = "try:\n    import sedna.common.log\nexcept ZeroDivisionError:\n    logging.info('as ever')"
    assert messages(SET_UP, body, **sedna) == ["as ever"]


def test_a_log_file_of_the_workers_own_stays(sedna, tmp_path):
    path = tmp_path / "own.log"
    body = f"handler = logging.FileHandler({str(path)!r}); logging.getLogger().addHandler(handler)"
    assert messages("import logging", body, SET_UP, "logging.info('both')") == ["both"]
    assert path.read_text() == "both\n"


def test_what_wrote_to_the_terminal_before_does_not_write_twice():
    assert messages("import logging; logging.basicConfig()", SET_UP, "logging.info('once')") == ["once"]


@pytest.mark.parametrize("order", ["before", "after"])
def test_uvicorn_is_brought_in_and_stays_so_after_its_config(order):
    pytest.importorskip("uvicorn")
    use = "import uvicorn"
    parts = [use, SET_UP] if order == "before" else [SET_UP, use]
    lines = run(
        *parts,
        """
for _ in range(2):
    uvicorn.Config("app:app")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", "/x?token=abc", "1.1", 200)
""",
    )
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("uvicorn.error", "started"),
        ("uvicorn.access", '1.2.3.4:5 - "GET /x?token=*** HTTP/1.1" 200'),
    ] * 2


def test_a_real_uvicorn_that_serves_writes_lines_alone():
    pytest.importorskip("uvicorn")
    lines = run(
        SET_UP,
        """
import asyncio, socket, uvicorn
async def app(scope, receive, send):
    if scope["type"] != "http": raise ValueError("not served")
    if scope["path"] == "/broken": raise RuntimeError("broken")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
async def main():
    sock = socket.socket(); sock.bind(("127.0.0.1", 0)); sock.listen()
    server = uvicorn.Server(uvicorn.Config(app))
    serving = asyncio.ensure_future(server.serve(sockets=[sock]))
    for path in ("/", "/broken"):
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        writer.write(b"GET %s HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n" % path.encode())
        await reader.read()
        writer.close()
    server.should_exit = True
    await serving
asyncio.run(main())
""",
    )
    said = [(line["logger"], line["message"]) for line in lines]
    assert sum('"GET / HTTP/1.1" 200' in message for _, message in said) == 1
    assert sum("Exception in ASGI application" in message for _, message in said) == 1
    assert any("RuntimeError: broken" in line.get("exception", "") for line in lines)


def test_uvicorns_configuration_is_as_it_was_after_undo():
    pytest.importorskip("uvicorn")
    assert (
        messages(
            "import uvicorn.config, copy; before = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)",
            SET_UP,
            "assert uvicorn.config.LOGGING_CONFIG != before",
            "log.close(); assert uvicorn.config.LOGGING_CONFIG == before",
        )
        == []
    )


@pytest.mark.skipif("SEDNA_LIB" not in os.environ, reason="SEDNA_LIB does not say where Sedna's lib/ is")
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("job", ["my-job", ""])
def test_the_real_sedna_is_brought_in(order, job):
    use = "from sedna.common.log import LOGGER; from sedna.core.base import JobBase"
    parts = [use, SET_UP] if order == "before" else [SET_UP, use]
    environ = {"PYTHONPATH": os.environ["SEDNA_LIB"], "JOB_NAME": job, "BACKEND_TYPE": "x"}
    lines = run(*parts, "LOGGER.error('from sedna')", **environ)
    assert [(line["logger"], line["message"]) for line in lines] == [(job or "root", "from sedna")]


def test_what_nobody_catches_in_the_main_thread_is_one_record(tmp_path):
    (line,) = run(SET_UP, "raise ValueError('why: password=x')", status=1)
    assert (line["level"], line["message"]) == ("CRITICAL", "uncaught ValueError: why: password=***")
    assert "Traceback" in line["exception"]


threads_have_a_hook = pytest.mark.skipif(sys.version_info < (3, 8), reason="threading.excepthook is new in Python 3.8")


@threads_have_a_hook
def test_what_nobody_catches_in_a_thread_is_one_record():
    body = "def work(): raise ValueError('why')\nthread = threading.Thread(target=work, name='loader')\nthread.start()"
    (line,) = run(SET_UP, body, "thread.join()")
    assert line["message"] == "uncaught ValueError: why (in thread loader)"
    assert "Traceback" in line["exception"]


def test_an_exit_is_no_failure():
    assert run(SET_UP, "threading.Thread(target=sys.exit).start()", "sys.exit(3)", status=3) == []


def test_an_interrupt_keeps_its_status():
    program = SET_UP + (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background ignores it
        "os.kill(os.getpid(), signal.SIGINT)\nthreading.Event().wait(5)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (-2 if sys.version_info >= (3, 8) else 1, b"")
    assert json.loads(done.stdout)["level"] == "WARNING"


@threads_have_a_hook
def test_a_hook_of_the_workers_own_is_still_called():
    hook = "import sys, threading\nsys.excepthook = threading.excepthook = lambda *args: print('\"hook\"')"
    body = "thread = threading.Thread(target=lambda: 1 / 0)\nthread.start(); thread.join()\n1 / 0"
    lines = run(hook, SET_UP, body, status=1)
    assert [each if isinstance(each, str) else each["message"].split()[1] for each in lines] == [
        "ZeroDivisionError:",
        "hook",
        "ZeroDivisionError:",
        "hook",
    ]


#: Why a record cannot be written.
GONE = {
    "closed": "log.close()",
    "no handler": "logging.getLogger().handlers.clear()",
    "no stdout": "os.close(1)",
    "a closed stdout": "sys.stdout.close()",
    "nobody reads": "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)",
    "disabled": "logging.disable(logging.CRITICAL)",
    "a logger that is off": "logging.getLogger('sedna_metrics.uncaught').disabled = True",
    "a level": "logging.getLogger().setLevel(logging.CRITICAL + 1)",
    "a filter": "logging.getLogger().handlers[0].addFilter(lambda record: False)",
    "a failing filter": "logging.getLogger().handlers[0].addFilter(lambda record: 1 / 0)",
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
@pytest.mark.parametrize(
    "error",
    [
        "raise LookupError",
        "raise KeyboardInterrupt",
        pytest.param(
            "def work(): raise LookupError\nthread = threading.Thread(target=work); thread.start(); thread.join()",
            marks=threads_have_a_hook,
        ),
    ],
    ids=["error", "interrupt", "thread"],
)
def test_no_trace_is_lost_where_there_is_no_log(gone, error):
    done = subprocess.run(
        [sys.executable, "-c", f"{SET_UP}\n{gone}\n{error}"], capture_output=True, text=True, timeout=30
    )
    assert "Traceback" in done.stderr
    assert ("LookupError" in done.stderr) or ("KeyboardInterrupt" in done.stderr)
    assert done.stdout == ""


@pytest.mark.parametrize("again", ["logging.basicConfig(force=True)", "logging.config.dictConfig({'version': 1, "
    "'handlers': {'a': {'class': 'logging.StreamHandler'}}, 'root': {'handlers': ['a']}})"])  # fmt: skip
def test_a_trace_is_printed_once_where_the_script_sets_logging_up_anew(again):
    program = f"{SET_UP}\nimport logging.config\n{again}\nraise LookupError"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.stderr.count("Traceback"), done.stdout) == (1, "")


@pytest.mark.parametrize("level", ["ERROR", "CRITICAL"])
def test_an_interrupt_is_printed_where_the_log_does_not_take_warnings(level):
    program = SET_UP.replace("identity", f"level={level!r}, identity") + "raise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == ""
    assert "Traceback" in done.stderr
    assert "KeyboardInterrupt" in done.stderr


def test_warnings_are_records():
    (line,) = run(SET_UP, "warnings.warn('careful')")
    assert "careful" in line["message"]
    assert line["logger"] == "py.warnings"


def test_a_worker_writes_nothing_on_stderr(tmp_path):
    environ = {"SEDNA_METRICS_EXPORT": "off", "WORKER_NAME": "train-worker-abcde", "JOB_NAME": "j"}
    body = "import sedna_metrics, warnings\nworker = sedna_metrics.start()\nwarnings.warn('x')\nraise ValueError('why')"
    lines = run(body, status=1, **environ)
    assert [(line["level"], line["task"]) for line in lines] == [("INFO", "j"), ("WARNING", "j"), ("CRITICAL", "j")]


def test_a_logger_that_exists_is_not_disabled():
    assert not logging.getLogger("sedna_metrics.events").disabled
