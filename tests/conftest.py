from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Callable, Dict, Iterator, List, Tuple

import pytest
import requests
import servers
import trustme
from clocks import FakeClock
from gateways import Gateway

import sedna_metrics
from sedna_metrics import _runtime
from sedna_metrics._worker import Worker

_BUILDS = pytest.StashKey[Dict[str, servers.Build]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to build what takes long while other tests run."""
    fixtures = {name for item in session.items if isinstance(item, pytest.Function) for name in item.fixturenames}
    wanted = {"kube-state-metrics": "kube_state_metrics_or_reason", "compose-go": "compose_go"}
    session.config.stash[_BUILDS] = {name: servers.Build(name) for name in wanted if wanted[name] in fixtures}


def pytest_unconfigure(config: pytest.Config) -> None:
    for build in config.stash.get(_BUILDS, {}).values():
        build.stop()


@pytest.fixture(scope="session")
def kube_state_metrics_or_reason(request: pytest.FixtureRequest) -> Tuple[str, str]:
    """Path of the real program, or why it is not at hand."""
    try:
        return request.config.stash[_BUILDS]["kube-state-metrics"].wait(), ""
    except RuntimeError as reason:
        return "", str(reason)


@pytest.fixture(scope="session")
def kube_state_metrics(kube_state_metrics_or_reason: Tuple[str, str]) -> str:
    """Path of the real program."""
    found, reason = kube_state_metrics_or_reason
    if reason:
        pytest.skip(f"kube-state-metrics: {reason}")
    return found


@pytest.fixture(scope="session")
def compose_go(request: pytest.FixtureRequest) -> str:
    """Path of the program of the library that Docker Compose reads its files with."""
    try:
        return request.config.stash[_BUILDS]["compose-go"].wait()
    except RuntimeError as reason:
        pytest.skip(f"compose-go: {reason}")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def _no_worker_is_left_running() -> Iterator[None]:
    yield
    left = _runtime.running()
    if left is not None:
        left.close()
        pytest.fail("the test left a worker running")


@pytest.fixture(autouse=True)
def _spool_of_the_tests_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEDNA_METRICS_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.fixture
def start(clock: FakeClock, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """``start()`` with an environment of the test's own; nothing listens, nothing is logged unless asked for."""
    workers: List[Worker] = []

    def start_(environ: Dict[str, str] | None = None, **arguments: object) -> Worker:
        environ = {"JOB_NAME": "task", "WORKER_NAME": "worker", **(environ or {})}
        arguments = {
            "export": "off",
            "log": "off",
            "process_metrics": "off",
            "clock": clock,
            "spool_dir": tmp_path / "spool",
            **arguments,
        }
        workers.append(sedna_metrics.start(environ=environ, **arguments))
        return workers[-1]

    yield start_
    for worker in workers:
        worker.close()
        assert worker._boundary.errors() == 0, "something failed inside, and the boundary kept quiet about it"


@pytest.fixture
def worker(start: Callable[..., Worker]) -> Worker:
    return start()


def values(worker: Worker, name: str) -> Dict[object, float]:
    """Samples of one name: value by own labels (a tuple of pairs, or nothing where there are none)."""
    return {labels: value for (each, labels), value in worker._instruments.samples().items() if each == name}


def value(worker: Worker, name: str, **labels: str) -> float | None:
    """The value of one sample, or ``None``."""
    return worker._instruments.samples().get((name, tuple(sorted(labels.items()))))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(name: str) -> str:
    """Path of a real server; without one the test is skipped, or fails where CI=true."""
    found = servers.find(name)
    if found is None:
        reason = f"{name} is neither on PATH nor unpacked by tests/servers.py"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Server:
    """A server's process and where it answers; made, it is ready. A context manager closes it."""

    def __init__(self, command: List[str], port: int, log: Path, ready: str = "/-/ready", seconds: float = 30) -> None:
        self.url = f"http://127.0.0.1:{port}"
        with log.open("w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + seconds
        while True:
            try:
                if requests.get(self.url + ready, timeout=2).ok:
                    return
            except requests.ConnectionError:
                pass
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.close()
                raise AssertionError(f"{command[0]} does not get ready: {log.read_text()[-2000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def running_pushgateway(folder: Path) -> Server:
    """A real Pushgateway; its log is in the folder."""
    port = free_port()
    command = [program("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}", "--persistence.file="]
    return Server(command, port, folder / "pushgateway.log")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A stand-in that misbehaves when told to."""
    server = Gateway()
    yield server
    server.close()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = ca.issue_cert("localhost")
    server.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    server.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
    ca.issue_cert("prometheus").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    trustme.CA().issue_cert("x").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "stranger.pem"))
    return tmp_path


@pytest.fixture
def pushgateway(tmp_path: Path) -> Iterator[Server]:
    with running_pushgateway(tmp_path) as server:
        yield server


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Starts a Prometheus on a configuration."""
    started: List[Server] = []

    def start_(configuration: str) -> Server:
        port = free_port()
        config = tmp_path / f"prometheus-{port}.yml"
        config.write_text(configuration)
        command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / f'tsdb-{port}'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        started.append(Server(command, port, tmp_path / f"prometheus-{port}.log"))
        return started[-1]

    yield start_
    for server in started:
        server.close()


def eventually(check: Callable[[], object], seconds: float = 20) -> object:
    """What ``check`` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {check}")
        time.sleep(0.1)


@pytest.fixture
def sedna(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports modules of the stand-in for Sedna's package; they are forgotten after the test."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "sedna"]:
            del sys.modules[name]

    forget()
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "sedna_standin"))
    yield lambda name: importlib.import_module(f"sedna.{name}")
    forget()
