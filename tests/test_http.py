"""The /metrics endpoint."""

from __future__ import annotations

import gzip
import socket

import pytest
import requests
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics


@pytest.fixture
def worker(start):
    return start(export="pull", host="127.0.0.1", port=0)


def test_text_is_the_default_and_openmetrics_on_request(worker):
    plain = requests.get(worker.url, timeout=5)
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert plain.content == generate_latest(worker.registry)
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    open_ = requests.get(worker.url, headers=accept, timeout=5)
    assert open_.headers["Content-Type"].startswith("application/openmetrics-text")
    assert open_.text.endswith("# EOF\n")
    assert list(parse_openmetrics(open_.text))


@pytest.mark.parametrize(
    ("header", "zipped"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("identity", False), ("gzip;q=0", False), ("", False)],
)
def test_it_is_compressed_where_that_is_accepted(worker, header, zipped):
    response = requests.get(worker.url, headers={"Accept-Encoding": header}, stream=True, timeout=5)
    body = response.raw.read()
    assert (response.headers.get("Content-Encoding") == "gzip") == zipped
    assert b"sedna_worker_info" in (gzip.decompress(body) if zipped else body)


def test_other_paths(worker):
    base = worker.url[: -len("/metrics")]
    assert requests.get(f"{base}/healthz", timeout=5).text == "ok\n"
    assert requests.get(f"{base}/", timeout=5).ok
    assert requests.get(f"{base}/secrets", timeout=5).status_code == 404
    assert requests.get(f"{worker.url}?x=1", timeout=5).ok
    assert requests.head(worker.url, timeout=5).content == b""
    assert requests.post(worker.url, timeout=5).status_code == 501


def test_the_next_port_is_taken_where_one_is_in_use(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        worker = start(export="pull", host="127.0.0.1", port=f"{port}-{port + 20}")
        assert port < int(worker.url.split(":")[2].split("/")[0]) <= port + 20


def test_without_a_free_port_the_worker_runs_on(start, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        worker = start(export="pull", host="127.0.0.1", port=taken.getsockname()[1])
        assert worker.url is None
        assert "no port of" in caplog.text
        worker.joint_inference.hard_sample()


def test_it_listens_on_ipv6_too(start):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    worker = start(export="pull", host="::1", port=0)
    assert "[::1]" in worker.url
    assert requests.get(worker.url, timeout=5).ok


def test_a_collector_of_the_users_that_raises_does_not_take_ours_down(start):
    class Broken:
        def collect(self):
            raise RuntimeError("broken")

    registry = CollectorRegistry()
    worker = start(registry=registry, export="pull", host="127.0.0.1", port=0)
    registry._collector_to_names[Broken()] = []
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        response = requests.get(worker.url, headers={"Accept": accept}, timeout=5)
        assert response.status_code == 200
        assert "sedna_worker_info" in response.text
    assert worker._guard.errors() == 2
    worker._guard._errors = 0  # seen, and meant
