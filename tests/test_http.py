"""The /metrics endpoint."""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
import socket
import ssl
import threading
import time

import pytest
import requests
from prometheus_client import CollectorRegistry, generate_latest

from sedna_metrics.errors import SettingError
from sedna_metrics.exposition import http


@pytest.fixture
def worker(start):
    return start(export="pull", host="127.0.0.1", port=0)


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"])
def test_the_answer_is_prometheus_text_whatever_else_the_scraper_would_take(worker, accept):
    answer = requests.get(worker.url, headers={"Accept": accept}, timeout=5)
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert answer.content == generate_latest(worker.registry)


def test_a_connection_has_one_request_and_says_so(worker):
    assert requests.get(worker.url, timeout=5).headers["Connection"] == "close"
    with connect(worker) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n\r\n" * 2)
        with connection.makefile("rb") as said:
            assert said.read().count(b"HTTP/1.1 200") == 1


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


@pytest.mark.internal_errors
def test_a_collector_of_the_users_that_raises_does_not_take_ours_down(start):
    class Broken:
        def describe(self):
            return []

        def collect(self):
            raise RuntimeError("broken")

    registry = CollectorRegistry()
    worker = start(registry=registry, export="pull", host="127.0.0.1", port=0)
    registry.register(Broken())
    response = requests.get(worker.url, timeout=5)
    assert response.status_code == 200
    assert "sedna_worker_info" in response.text
    assert worker.guard.errors() == 1


# Hostile and slow clients.


def worker_address(worker):
    return "127.0.0.1", int(worker.url.split(":")[2].split("/")[0])


def connect(worker):
    return socket.create_connection(worker_address(worker), timeout=5)


def test_a_thousand_idle_connections_do_not_stop_a_scrape(worker):
    before = threading.active_count()
    idle = [connect(worker) for _ in range(1000)]
    try:
        for _ in range(3):
            assert requests.get(worker.url, timeout=5).ok
        assert threading.active_count() < before + http.MAX_CONNECTIONS + 16
    finally:
        for each in idle:
            each.close()


def test_a_client_that_never_ends_its_head_is_let_go(worker, monkeypatch):
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.3)
    with connect(worker) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011, PT012 - reset or broken pipe, as it comes
            while time.monotonic() - began < 10:
                slow.sendall(b"X: y\r\n")  # each line well within any time limit for a single wait
                time.sleep(0.1)
        assert time.monotonic() - began < 5
    assert requests.get(worker.url, timeout=5).ok


@pytest.mark.parametrize(
    "head",
    [
        b"GET /metrics HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(90)),
        b"GET /" + b"x" * 100_000,
        b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 100_000,
    ],
    ids=["many headers", "a long path", "a long header"],
)
def test_an_endless_head_is_cut_off(worker, head):
    with connect(worker) as endless:
        try:
            endless.sendall(head + b"\r\n\r\n")
            said = endless.recv(1000)
        except OSError:
            said = b""
    assert not said.startswith(b"HTTP/1.1 200")
    assert requests.get(worker.url, timeout=5).ok
    assert worker.guard.errors() == 0


@pytest.mark.parametrize(
    "smuggled",
    [
        b"GET /healthz HTTP/1.1\r\nContent-Length: 44\r\n\r\nGET /metrics HTTP/1.1\r\nX: smuggled request\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length : 44\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nTransfer-Encoding:\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
    ],
    ids=["a body", "chunked", "two lengths", "a space before the colon", "no colon", "empty encoding"],
)
def test_a_body_is_not_taken_for_a_request(worker, smuggled):
    with connect(worker) as connection:
        connection.sendall(smuggled)
        said = b""
        try:
            while True:
                part = connection.recv(65536)
                if not part:
                    break
                said += part
        except OSError:
            pass
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"sedna_worker_info" not in said


@pytest.mark.parametrize(
    "rubbish", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\r\n"]
)
def test_rubbish_harms_nothing(worker, rubbish):
    with connect(worker) as connection:
        connection.sendall(rubbish)
    assert requests.get(worker.url, timeout=5).ok
    assert worker.guard.errors() == 0


def test_without_a_file_descriptor_it_does_not_spin_and_comes_back(worker):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connect(worker) as kept, connect(worker) as waiting:
        kept.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert kept.recv(1000)
        taken = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, limit[1]))
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            os.close(taken.pop())
            late = socket.socket()  # takes the last one: the server cannot accept it
            late.connect(worker_address(worker))
            began, cpu = time.monotonic(), time.process_time()
            time.sleep(1.5)
            assert time.process_time() - cpu < 0.5 * (time.monotonic() - began)
        finally:
            for each in taken:
                os.close(each)
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        late.settimeout(5)
        late.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert late.recv(1000).startswith(b"HTTP/1.1 200")
        late.close()
        waiting.close()


# TLS and auth.


def test_tls_and_client_certificates(start, authority):
    files = {"tls_cert_file": authority / "server.pem", "tls_key_file": authority / "server.key"}
    worker = start(export="pull", host="127.0.0.1", port=0, tls_client_ca_file=authority / "ca.pem", **files)
    url = worker.url.replace("127.0.0.1", "localhost")
    assert url.startswith("https://")
    trusted = {"verify": str(authority / "ca.pem"), "timeout": 5}
    assert requests.get(url, cert=str(authority / "client.pem"), **trusted).ok
    for certificate in (None, str(authority / "stranger.pem")):
        with pytest.raises((requests.exceptions.SSLError, requests.ConnectionError)):
            requests.get(url, cert=certificate, **trusted)
    with connect(worker) as plain:  # a client that never shakes hands does not keep others out
        assert requests.get(url, cert=str(authority / "client.pem"), **trusted).ok
        plain.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert worker.guard.errors() == 0
    assert http.tls_context(worker.settings).minimum_version >= ssl.TLSVersion.TLSv1_2


def test_basic_auth(start, tmp_path):
    (tmp_path / "password").write_text("sécret\n", "utf-8")
    worker = start(
        export="pull", host="127.0.0.1", port=0, auth_username="me", auth_password_file=tmp_path / "password"
    )
    assert requests.get(worker.url, auth=("me", "sécret".encode()), timeout=5).ok
    for auth in (None, ("me", "wrong"), ("you", "sécret".encode())):
        refused = requests.get(worker.url, auth=auth, timeout=5)
        assert (refused.status_code, "sedna_" in refused.text) == (401, False)
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
    assert requests.get(worker.url.replace("metrics", "healthz"), timeout=5).ok


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"tls_cert_file": "/nowhere.pem"}, "nowhere.pem"),
        ({"tls_key_file": "/some.key"}, "TLS_CERT_FILE"),
        ({"auth_username": "me"}, "AUTH_PASSWORD"),
        ({"auth_password": "secret"}, "AUTH_USERNAME"),
        ({"tls_client_ca_file": "/ca.pem"}, "TLS_CERT_FILE"),
        ({"auth_username": "me", "auth_password_file": "/nowhere"}, "cannot be read"),
    ],
)
def test_what_cannot_protect_is_an_error_not_an_open_door(start, arguments, says):
    with pytest.raises(SettingError, match=says):
        start(export="pull", host="127.0.0.1", port=0, **arguments)
