"""Faults around a worker. Each case runs with and without the library."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from gateways import Gateway, answer, good, hang, nonsense, reset, trickle

VICTIM = Path(__file__).with_name("victim.py")
TIMEOUT_SECONDS = 60
COUNTED = {
    "sedna_inferences_total{'location': 'edge'}": 6.0,  # five calls and a stream
    "sedna_inferences_total{'location': 'cloud'}": 1.0,
    "sedna_inference_errors_total{'location': 'edge'}": 2.0,
    "sedna_hard_samples_total{}": 1.0,
    "sedna_training_step_duration_seconds_count{}": 6.0,
    "sedna_training_epoch{}": 3.0,
}


@dataclass(frozen=True)
class Case:
    """One fault. ``environ`` is for the library alone; the code is run in the control as well."""

    group: str
    name: str
    environ: Tuple[Tuple[str, str], ...] = ()
    before: str = ""
    after: str = ""
    end: str = ""
    options: Tuple[str, ...] = ()
    """Of the interpreter."""
    status: int = 0
    """How the process ends without the library."""
    is_hit: bool = False
    """Whether the fault notes that the library ran into it."""
    counts: bool = True
    """Whether everything has to be counted. Without it the fault takes away what counting rests on."""


def _case(group: str, name: str, environ: Mapping[str, str] = {}, **more: Any) -> Case:
    is_hit = "hit()" in more.get("before", "") + more.get("after", "")
    return Case(group, name, tuple(environ.items()), is_hit=is_hit, **more)


def _patched(target: str, body: str) -> str:
    """Code that puts a function in the place of another."""
    module = target.rpartition(".")[0]
    return f"import {module.split('.')[0]}\ndef _fault(*a, **k):\n    hit(); {body}\n{target} = _fault\n"


def _missing(package: str) -> str:
    """Code after which a package cannot be imported."""
    return (
        "import sys\nclass Without:\n    others = list(sys.meta_path)\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {package!r}: hit(); return None\n"
        "        return next(filter(None, (each.find_spec(name, path, target) for each in self.others)), None)\n"
        "sys.meta_path[:] = [Without()]\n"
    )


PUSHING = {"SEDNA_METRICS_EXPORT": "push", "SEDNA_METRICS_PUSH_DEADLINE": "1", "SEDNA_METRICS_PUSH_TIMEOUT": "0.5"}
_TO = "SEDNA_METRICS_PUSHGATEWAY_URL"
SPOOLING = {**PUSHING, _TO: "http://127.0.0.1:9", "WORKER_NAME": "train-worker-x2x5q"}
_NO_SPACE = "raise OSError(28, 'No space left on device')"

CASES: List[Case] = [
    *(
        _case("network", name, {**PUSHING, _TO: url})
        for name, url in {
            "connection refused": "http://127.0.0.1:9",
            "name does not resolve": "http://nowhere.invalid:9091",
            "TLS to a plain server": "https://{gateway}",
            "gateway hangs": "http://{hangs}",
            "connection reset during the answer": "http://{resets}",
            "answer byte by byte": "http://{trickles}",
            "answer is not HTTP": "http://{nonsense}",
            "answers 400": "http://{400}",
            "answers 413": "http://{413}",
            "answers 429": "http://{429}",
            "answers 500": "http://{500}",
            "redirect loop": "http://{302}",
            "gateway accepts": "http://{gateway}",
        }.items()
    ),
    _case("network", "connect fails", {**PUSHING, _TO: "http://127.0.0.1:9"}, after=_patched("socket.socket.connect", "raise OSError(101, 'unreachable')")),
    _case("disk", "spool folder is a file", {**SPOOLING, "SEDNA_METRICS_SPOOL_DIR": "{file}"}),
    _case("disk", "spool folder cannot be created", {**SPOOLING, "SEDNA_METRICS_SPOOL_DIR": "/proc/spool"}),
    _case("disk", "no space for the spool", SPOOLING, after=_patched("os.fdopen", _NO_SPACE)),
    _case("disk", "rename fails", SPOOLING, after=_patched("os.replace", "raise OSError(30, 'Read-only file system')")),
    _case("disk", "fsync fails", SPOOLING, after=_patched("os.fsync", "raise OSError(5, 'Input/output error')")),
    _case("disk", "file_sd folder is a file", {"SEDNA_METRICS_SD_DIR": "{file}"}),
    _case("disk", "stdout is full", {"SEDNA_METRICS_LOG": "json"}, before="import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"),
    _case("disk", "stdout is closed", {"SEDNA_METRICS_LOG": "json"}, before="import os; os.close(1)"),
    _case("disk", "working directory is deleted", before="import os, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)"),
    _case("port", "all ports are in use", {"SEDNA_METRICS_PORT": "{taken}"}),
    _case("port", "listen fails", before=_patched("socket.socket.listen", "raise OSError(24, 'Too many open files')")),
    _case("port", "accept fails", after=_patched("socket.socket.accept", "raise OSError(24, 'Too many open files')")),
    _case("clock", "time goes backwards", before="_t = [2e9]\n" + _patched("time.time", "_t[0] -= 60; return _t[0]")),
    _case("clock", "time stands still", before=_patched("time.time", "return 1.7e9")),
    _case("clock", "time jumps by a year", before="_t = [2e9]\n" + _patched("time.time", "_t[0] += 3e7; return _t[0]")),
    _case("clock", "time is before 1970", before=_patched("time.time", "return -1.0")),
    _case("clock", "monotonic clock stands still", before=_patched("time.monotonic", "return 5.0")),
    _case("clock", "performance counter stands still", before=_patched("time.perf_counter", "return 5.0")),
    _case("clock", "performance counter goes backwards", before="_t = [1e6]\n" + _patched("time.perf_counter", "_t[0] -= 1; return _t[0]")),
    _case("memory", "no memory for the log", {"SEDNA_METRICS_LOG": "json"}, before=_missing("orjson") + _patched("json.JSONEncoder.encode", "raise MemoryError"), counts=False),
    _case("memory", "few open files", before="import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))"),
    _case("threads", "no thread can start", {**PUSHING, _TO: "http://{gateway}"}, before=_patched("threading.Thread.start", "raise RuntimeError(\"can't start new thread\")")),
    _case("threads", "no thread for /metrics", {"SEDNA_METRICS_LOG": "json"}, before=_patched("threading.Thread.start", "raise RuntimeError(\"can't start new thread\")")),
    _case("imports", "orjson is missing", {"SEDNA_METRICS_LOG": "json"}, before=_missing("orjson")),
    _case("imports", "requests is missing", {**PUSHING, _TO: "http://{gateway}"}, before=_missing("requests")),
    _case("imports", "an import hook of the script raises", before="import sys\nclass F:\n    def find_spec(self, name, path=None, target=None):\n        if name == 'sedna': raise OSError\nsys.meta_path.insert(0, F())"),
    _case("shutdown", "inference in an atexit function", end="import atexit; atexit.register(lambda: note('late', infer(2)))"),
    _case("shutdown", "inference in __del__", end="class D:\n    def __del__(self): infer(2)\nimport builtins; builtins.d = D()"),
    _case("shutdown", "inference in a daemon thread", end="import threading\ndef f():\n    while True: infer(2)\nthreading.Thread(target=f, daemon=True).start()"),
    _case("shutdown", "os._exit", status=7, end="import os; os._exit(7)"),
    _case("shutdown", "sys.exit with a status", status=3, end="sys.exit(3)"),
    _case("shutdown", "sys.exit with a text", status=1, end="sys.exit('why')"),
    _case("shutdown", "uncaught exception", status=1, end="raise ValueError('bad')"),
    _case("shutdown", "uncaught exception that cannot be printed", status=1, end="class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E()"),
    _case("shutdown", "sys.exit in an inference", status=4, end="import sys\nwith ji.edge_inference(): sys.exit(4)"),
    _case("shutdown", "abort", status=-signal.SIGABRT, end="import os; os.abort()"),
    _case("recursion", "endless recursion", end="@ji.edge_inference\ndef f(n): return f(n + 1)\ntry: f(0)\nexcept RecursionError as e: note('deep', type(e))"),
    _case("recursion", "recursion up to the limit", end="import sys\n@ji.edge_inference\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\nsys.setrecursionlimit(5000); note('depth', f(1500))"),
    *(
        _case("signals", f"{name} without a handler", {**PUSHING, _TO: "http://{gateway}"}, status=-getattr(signal, name), end=f"import os, signal; os.kill(os.getpid(), signal.{name})")
        for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGKILL")
    ),
    _case("signals", "inference in a handler, a thousand times", after="import signal\nsignal.signal(signal.SIGALRM, lambda *_: infer(1))\nsignal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)", end="signal.setitimer(signal.ITIMER_REAL, 0)", counts=False),
    _case("signals", "a handler raises during an inference", end="import signal, time\ndef h(*_): raise TimeoutError('late')\nsignal.signal(signal.SIGALRM, h); signal.setitimer(signal.ITIMER_REAL, 0.05)\n@ji.edge_inference\ndef slow(): time.sleep(5)\ntry: slow()\nexcept TimeoutError as e: note('interrupted', e)\nsignal.signal(signal.SIGALRM, signal.SIG_DFL)"),
    _case("signals", "SIGTERM with the script's handler", status=9, before="import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))", end="import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(1)"),
    _case("forks", "inference in a forked process", end="import os\npid = os.fork()\nif pid == 0:\n    infer(1); os._exit(0)\nnote('child', os.waitpid(pid, 0)[1])"),
    _case("forks", "fork in a with block", end="import os\nwith ji.edge_inference():\n    pid = os.fork()\n    if pid == 0: os._exit(5)\nnote('child', os.waitpid(pid, 0)[1])"),
    _case("forks", "forks during inference in a thread", end="import os, threading\ngo = [1]\ndef f():\n    while go: infer(2)\nt = threading.Thread(target=f); t.start()\nfor _ in range(20):\n    pid = os.fork()\n    if pid == 0:\n        infer(2); os._exit(0)\n    note('child', os.waitpid(pid, 0)[1])\ngo.clear(); t.join()"),
    _case("forks", "subprocesses", end="import subprocess, sys; note('sub', subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout)"),
    _case("asyncio", "cancelled call", end="@ji.cloud_inference\nasync def long(): await asyncio.sleep(60)\nasync def main():\n    task = asyncio.ensure_future(long()); await asyncio.sleep(0.01); task.cancel()\n    try: await task\n    except asyncio.CancelledError as e: note('cancelled', type(e))\nasyncio.run(main())"),
    _case("asyncio", "generator closed early", end="g = stream(9); next(g); g.close(); note('closed', list(g))"),
    _case("python", "python -W error", options=("-W", "error")),
    _case("python", "python -OO", options=("-OO",)),
    _case("python", "python -X dev", options=("-X", "dev")),
    _case("python", "python -s", options=("-s",)),
    _case("python", "C locale without UTF-8", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "JOB_NAME": "h\u00e9lmet"}),
    _case("python", "trace function", after="import sys; sys.settrace(lambda *_: None)", end="sys.settrace(None)"),
    _case("python", "profile function", after="import sys; sys.setprofile(lambda *_: None)", end="sys.setprofile(None)"),
    _case("python", "no garbage collection", before="import gc; gc.disable()"),
    _case("python", "logging is shut down", end="import logging; logging.shutdown(); note('more', infer(2))"),
    _case("python", "stdout replaced by StringIO", {"SEDNA_METRICS_LOG": "json"}, before="import io, sys; sys.stdout = io.StringIO()"),
]  # fmt: skip


@contextmanager
def places() -> Iterator[Dict[str, str]]:
    """What the cases' settings name: gateways that behave each in its way, and a port that is taken."""
    behaviours = {
        "gateway": good,
        "hangs": hang,
        "resets": reset,
        "trickles": trickle,
        "nonsense": nonsense,
        "400": answer("400 Bad Request", body="no"),
        "413": answer("413 Payload Too Large"),
        "429": answer("429 Too Many Requests", headers="Retry-After: 60\r\n"),
        "500": answer("500 Internal Server Error"),
        "302": answer("302 Found", headers="Location: /again\r\n"),
    }
    gateways = {name: Gateway(behaviour) for name, behaviour in behaviours.items()}
    found = {name: gateway.url.partition("//")[2] for name, gateway in gateways.items()}
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            yield {**found, "taken": str(taken.getsockname()[1])}
        silent = [name for name, gateway in gateways.items() if not gateway.connections]
        assert silent == [], "nobody connected to these gateways"
    finally:
        for gateway in gateways.values():
            gateway.close()


def _filled(value: str, places: Mapping[str, str]) -> str:
    for name, place in places.items():
        value = value.replace(f"{{{name}}}", place)
    return value


def run(case: Case, folder: Path, places: Mapping[str, str], control: bool) -> Dict[str, Any]:
    """What the victim did: its exit status, its results and what was counted."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text("")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEDNA_METRICS_")},
        "JOB_NAME": "helmet",
        "WORKER_NAME": "edgeworker-x2x5q",
        "SEDNA_METRICS_LOG": "off",
        "SEDNA_METRICS_HOST": "127.0.0.1",
        "SEDNA_METRICS_PORT": "0",
        "SEDNA_METRICS_SPOOL_DIR": str(folder / "spool"),
        **{name: _filled(value, {**places, "file": str(folder / "file")}) for name, value in case.environ},
        "RESULTS": str(folder / "results"),
        "COUNTED": str(folder / "counted"),
        "HIT": str(folder / "hit"),
        "BEFORE": case.before,
        "AFTER": case.after,
        "END": case.end,
        **({"CONTROL": "1"} if control else {}),
    }
    command = [sys.executable, *case.options, str(VICTIM)]
    done = subprocess.run(command, env=environ, capture_output=True, cwd=folder, timeout=TIMEOUT_SECONDS)
    read = {name: folder / name for name in ("results", "counted")}
    return {
        "status": done.returncode,
        "stderr": done.stderr.decode(errors="replace"),
        "is_hit": (folder / "hit").exists(),
        **{name: json.loads(path.read_text()) if path.exists() else None for name, path in read.items()},
    }
