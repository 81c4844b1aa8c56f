from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Callable, Dict, Iterator, List, Tuple

import hypothesis
import pytest
import servers
import trustme
from clocks import FakeClock
from gateways import Gateway
from support import Registry, Server, free_port, program, running_pushgateway

import sedna_metrics
from sedna_metrics import Worker

# No time limit for an example: on a busy machine any may take long.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")

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
    left = sedna_metrics.running()
    if left is not None:
        left.close()
        pytest.fail("the test left a worker running")


@pytest.fixture(autouse=True)
def _spool_of_the_tests_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEDNA_METRICS_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.fixture
def start(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """``start()`` with an environment of the test's own; nothing listens, nothing is logged unless asked for.

    At the end it must not have caught a failure of the library's own, unless the test has the mark ``internal_errors``.
    """
    workers: List[Worker] = []

    def start_(environ: Dict[str, str] | None = None, **arguments: object) -> Worker:
        environ = {"JOB_NAME": "task", "WORKER_NAME": "worker", **(environ or {})}
        arguments = {
            "export": "off",
            "log": "off",
            "process_metrics": "off",
            "clock": clock,
            "spool_dir": tmp_path / "spool",
            "registry": Registry(),
            **arguments,
        }
        workers.append(sedna_metrics.start(environ=environ, **arguments))
        return workers[-1]

    yield start_
    for worker in workers:
        worker.close()
    caught = sum(worker.guard.errors() for worker in workers)
    assert bool(caught) == bool(request.node.get_closest_marker("internal_errors")), f"{caught} failures were caught"


@pytest.fixture
def worker(start: Callable[..., Worker]) -> Worker:
    return start()


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
