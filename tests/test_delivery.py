"""Delivery to a gateway that misbehaves, on real sockets: the worker's loop goes on, and what was counted arrives."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import gateways
import pytest
import requests
from gateways import Gateway, answer
from support import eventually, free_port, value
from trustme import CA

from sedna_metrics.cli import main
from sedna_metrics.exposition.pushgateway import Pushgateway, group_path
from sedna_metrics.exposition.spool import Spool, open_spool, spool_folders
from sedna_metrics.settings import load


@pytest.fixture
def pushing(gateway, start):
    """A worker that pushes often; give settings to change that."""

    def start_(**arguments):
        settings = {"pushgateway_url": gateway.url, "push_interval": 0.1, "push_timeout": 0.5, "push_deadline": 2}
        return start({"JOB_NAME": "task", "NODE_NAME": "edge"}, export="push", **{**settings, **arguments})

    return start_


class Held:
    """A behaviour that begins when ``go_on`` is set, for the first request; later ones hang."""

    def __init__(self, behaviour):
        self.go_on = threading.Event()
        self.requests = []
        self._behaviour = behaviour

    def __call__(self, connection, request):
        self.requests.append(request)
        if len(self.requests) > 1:
            return gateways.hang(connection, request)
        self.go_on.wait(20)
        return self._behaviour(connection, request)


def last_text(gateway):
    return gateway.requests[-1].text


def test_one_connection_is_kept_and_the_body_is_gzipped(pushing, gateway):
    pushing()
    eventually(lambda: len(gateway.requests) > 4)
    assert gateway.connections == 1
    assert {request.headers["content-encoding"] for request in gateway.requests} == {"gzip"}
    assert "sedna_worker_info{" in last_text(gateway)


@pytest.mark.parametrize(
    "bad",
    [
        gateways.reset,
        gateways.close_after,
        gateways.nonsense,
        gateways.hang,
        answer("500 Internal Server Error"),
        answer("502 Bad Gateway", body="<html>nginx</html>"),
        answer("429 Too Many Requests", "Retry-After: 0\r\n"),
        answer("404 Not Found"),
        answer("302 Found", "Location: /metrics/job/elsewhere\r\n"),
        answer("400 Bad Request"),
        answer("413 Payload Too Large"),
    ],
    ids=["reset", "closed", "nonsense", "hang", "500", "502", "429", "404", "circle", "400", "413"],
)
def test_after_any_misbehaviour_the_state_arrives(pushing, gateway, bad):
    gateway.behaviour = bad
    worker = pushing()
    eventually(lambda: gateway.requests)
    began = time.perf_counter()
    for _ in range(1000):
        worker.joint_inference.hard_sample()
    assert time.perf_counter() - began < 0.1, "the worker's loop does not wait for the network"
    if bad is not gateways.close_after:
        eventually(lambda: value(worker, "sedna_metrics_push_failures_total") > 0)
    gateway.behaviour = gateways.good
    worker.close()
    assert "sedna_hard_samples_total" in last_text(gateway)
    assert 'sedna_hard_samples_total{task="task",worker="worker"} 1000.0' in last_text(gateway)


def test_a_gateway_that_hangs_costs_no_more_than_the_deadline(pushing, gateway, tmp_path):
    for behaviour in (gateways.hang, gateways.trickle):
        gateway.behaviour = behaviour
        worker = pushing(push_deadline=1)
        began = time.monotonic()
        worker.close()
        assert time.monotonic() - began < 1 + 2 * 0.5 + 0.5
        assert list((tmp_path / "spool").glob("*.spool"))


def test_a_retry_waits_as_long_as_the_gateway_asks(pushing, gateway):
    gateway.behaviour = answer("429 Too Many Requests", "Retry-After: 3\r\n")
    pushing()
    eventually(lambda: gateway.requests)
    time.sleep(1.5)  # the fact to be shown is that nothing happens in this time
    assert len(gateway.requests) == 1


def test_what_is_refused_is_not_sent_over_and_over(pushing, gateway, mocker):
    mocker.patch("random.uniform", return_value=0.01)  # an interval is six seconds then, and other waits are short
    gateway.behaviour = answer("400 Bad Request", body="inconsistent")
    worker = pushing(push_interval=600, push_deadline=1)
    worker.flush()
    seen = len(gateway.requests)
    time.sleep(0.5)  # the fact to be shown is that nothing happens in this time
    assert len(gateway.requests) == seen <= 2, "the first push may have come earlier"
    assert value(worker, "sedna_metrics_spooled_total") == 0, "a spooled push that is refused again would be poison"


def test_a_fleet_does_not_come_back_all_at_once(pushing, gateway, mocker):
    chance = mocker.patch("random.uniform", return_value=0.01)
    gateway.behaviour = answer("503 Service Unavailable")
    pushing()
    eventually(lambda: len(gateway.requests) > 2)
    chance.assert_called_with(0.5, 1.0)


def test_the_time_of_the_last_push_is_that_of_one_that_arrived(pushing, gateway):
    gateway.behaviour = answer("503 Service Unavailable")
    worker = pushing(push_interval=60)
    worker.flush()
    assert value(worker, "sedna_metrics_push_failures_total") > 0
    assert value(worker, "sedna_metrics_last_push_timestamp_seconds") is None
    gateway.behaviour = gateways.good
    worker.flush()
    arrived = value(worker, "sedna_metrics_last_push_timestamp_seconds")
    assert time.time() - 60 < arrived <= time.time()
    gateway.behaviour = answer("503 Service Unavailable")
    worker.flush()
    assert value(worker, "sedna_metrics_last_push_timestamp_seconds") == arrived


def test_no_password_of_a_netrc_file_is_sent(pushing, gateway, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert pushing().flush()
    assert "authorization" not in gateway.requests[-1].headers


@pytest.mark.parametrize("code", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_is_not_followed_and_names_where_it_leads(pushing, gateway, caplog, code):
    other = Gateway()
    gateway.behaviour = answer(code, f"Location: {other.url}/admin\r\n")
    assert pushing(pushgateway_username="me", pushgateway_password="canary").flush(), "it is in the spool"
    assert other.requests == []
    assert f"it redirects to {other.url}/admin: set that as the URL" in caplog.text
    assert "canary" not in caplog.text
    other.close()


def endless(head):
    def behave(connection, request):
        connection.sendall(head)
        try:
            for _ in range(100_000):
                connection.sendall(b"x" * 65536)
        except OSError:
            return False
        return False

    return behave


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: ",
    ],
    ids=["redirect", "good", "bad", "header"],
)
def test_an_endless_answer_does_not_fill_the_memory(pushing, gateway, head):
    gateway.behaviour = endless(head)
    worker = pushing()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker.flush()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_a_compressed_answer_is_not_inflated(pushing, gateway):
    bomb = zlib.compress(b"x" * (64 << 20), 9)
    head = f"HTTP/1.1 400 No\r\nContent-Encoding: deflate\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()

    def behave(connection, request):
        connection.sendall(head + bomb)
        return False

    gateway.behaviour = behave
    worker = pushing()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not worker.flush()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@pytest.mark.parametrize("url", ["http://:canary@{}", "http://me:canary@{}", "http://me:canary@{}/path"])
def test_a_password_in_the_url_is_shown_nowhere(start, gateway, caplog, url):
    gateway.behaviour = answer("401 Unauthorized")
    host = gateway.url.partition("//")[2]
    worker = start(export="push", pushgateway_url=url.format(host), push_deadline=1)
    worker.flush()
    assert "401" in caplog.text
    assert "canary" not in caplog.text


def test_control_characters_of_an_answer_do_not_reach_the_log(pushing, gateway, caplog):
    gateway.behaviour = answer("400 Bad Request", body="\x1b[2Jcleared\nforged")
    pushing().flush()
    assert "cleared forged" in caplog.text
    assert "\x1b" not in caplog.text


#: What the gateway does, the spool, and whether the state is safe then.
OUTCOMES = {
    "good": (gateways.good, None, True),
    "away": (answer("503 Service Unavailable"), None, True),
    "away, spool off": (answer("503 Service Unavailable"), "off", False),
    "hangs": (gateways.hang, None, True),
    "hangs, spool off": (gateways.hang, "off", False),
    "not there": (answer("404 Not Found"), None, True),
    "new token": (answer("401 Unauthorized"), None, True),
    "refused": (answer("413 Payload Too Large"), None, False),
}


@pytest.mark.parametrize(("behaviour", "spool", "is_safe"), OUTCOMES.values(), ids=OUTCOMES)
def test_flush_returns_whether_the_state_has_arrived_or_is_in_the_spool(pushing, gateway, behaviour, spool, is_safe):
    gateway.behaviour = behaviour
    worker = pushing(push_deadline=1, **({"spool_dir": spool} if spool else {}))
    assert worker.flush() is is_safe


@pytest.mark.parametrize(("behaviour", "spool", "is_safe"), OUTCOMES.values(), ids=OUTCOMES)
def test_a_flush_after_the_end_returns_at_once_what_became_of_the_last_state(
    pushing, gateway, tmp_path, behaviour, spool, is_safe
):
    gateway.behaviour = behaviour
    worker = pushing(push_timeout=30, push_deadline=0.5, **({"spool_dir": spool} if spool else {}))
    worker.close()
    before = [(path.name, path.read_bytes()) for path in spooled(tmp_path)]
    began = time.monotonic()
    assert worker.flush() is is_safe
    assert time.monotonic() - began < 0.1
    assert [(path.name, path.read_bytes()) for path in spooled(tmp_path)] == before


def test_a_flush_during_the_last_push_waits_for_it(pushing, gateway, tmp_path):
    worker = pushing()
    assert worker.flush()
    held = Held(gateways.good)
    gateway.behaviour = held
    with ThreadPoolExecutor(2) as pool:
        closed = pool.submit(worker.close)
        eventually(held.requests.__len__)
        flushed = pool.submit(worker.flush)
        time.sleep(0.1)
        held.go_on.set()
        assert flushed.result()
        closed.result()
    assert spooled(tmp_path) == []


def test_a_worker_ends_at_once_when_its_state_is_in_the_spool(tmp_path, caplog, start):
    worker = start(export="push", pushgateway_url=f"http://127.0.0.1:{free_port()}", push_deadline=8, push_timeout=5)
    began = time.monotonic()
    worker.close()
    assert time.monotonic() - began < 1.5
    assert len(spooled(tmp_path)) == 1
    assert f"kept in {tmp_path / 'spool'}" in caplog.text


def test_a_change_of_stage_is_pushed_soon(pushing, gateway):
    worker = pushing(push_interval=3600)
    worker.flush()
    with worker.incremental_learning.training():
        eventually(lambda: 'status="running",task="task",task_stage="train",worker="worker"} 1.0' in last_text(gateway))


def test_the_last_body_says_what_is_true_once_it_has_arrived(pushing, gateway, tmp_path):
    gateway.behaviour = answer("503 Service Unavailable")
    worker = pushing()
    eventually(lambda: spooled(tmp_path))
    gateway.behaviour = gateways.good
    worker.close()
    assert spooled(tmp_path) == []
    lines = dict(line.rsplit(" ", 1) for line in last_text(gateway).splitlines() if not line.startswith("#"))
    labels = '{task="task",worker="worker"}'
    assert float(lines[f"sedna_metrics_spool_entries{labels}"]) == 0
    attempts, failures = (float(lines[f"sedna_metrics_push_{each}_total{labels}"]) for each in ("attempts", "failures"))
    assert attempts == failures + 1
    assert attempts == len([request for request in gateway.requests if request.method == "PUT"])
    assert f"sedna_metrics_last_push_timestamp_seconds{labels}" in lines


REPLICA = {"WORKER_NAME": "edgeworker-abcde", "SERVICE_NAME": "ji", "JOB_NAME": "", "NODE_NAME": "edge"}


def test_a_replica_of_a_service_has_a_group_of_its_own_and_removes_it_in_the_end(start, gateway, mocker):
    paths = []
    for host in ("pod-1", "pod-2"):
        mocker.patch("socket.gethostname", return_value=host)
        worker = start(REPLICA, export="push", pushgateway_url=gateway.url, push_interval=0.1)
        worker.flush()
        paths.append(gateway.requests[-1].path)
        worker.close()
        assert (gateway.requests[-1].method, gateway.requests[-1].path) == ("DELETE", paths[-1])
    assert ["/instance/pod-1/" in paths[0], "/instance/pod-2/" in paths[1]] == [True, True]


def test_a_group_that_cannot_be_removed_is_not_spooled(start, gateway, tmp_path, caplog):
    worker = start(REPLICA, export="push", pushgateway_url=gateway.url, push_deadline=1)
    worker.flush()
    gateway.behaviour = answer("503 Service Unavailable")
    worker.close()
    assert spooled(tmp_path) == []
    assert "the worker's group could not be deleted" in caplog.text


def test_credentials_from_files_are_read_at_each_push(pushing, gateway, tmp_path):
    token = tmp_path / "token"
    token.write_text("one\n")
    worker = pushing(pushgateway_bearer_token_file=token, push_interval=60)
    worker.flush()
    token.write_text("")
    worker.flush()
    token.write_text("two\n")
    worker.flush()
    said = [request.headers["authorization"] for request in gateway.requests]
    assert said[0] == "Bearer one"
    assert said[-1] == "Bearer two"


def test_user_info_in_the_url_is_basic_auth_and_is_told_nobody(pushing, gateway, caplog):
    worker = pushing(pushgateway_url=gateway.url.replace("//", "//user:canary@"))
    worker.flush()
    gateway.behaviour = answer("401 Unauthorized")
    worker.flush()
    assert gateway.requests[0].headers["authorization"] == "Basic dXNlcjpjYW5hcnk="
    assert "401" in caplog.text
    assert "canary" not in caplog.text


def test_tls_is_checked_and_a_client_certificate_shown(pushing, tmp_path, caplog):
    ca, stranger = CA(), CA()
    context = __import__("ssl").SSLContext(__import__("ssl").PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = __import__("ssl").CERT_REQUIRED
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    ca.issue_cert("worker").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    secure = Gateway(tls=context)
    client = {"pushgateway_url": secure.url, "pushgateway_cert_file": tmp_path / "client.pem"}
    worker = pushing(pushgateway_ca_file=tmp_path / "stranger.pem", **client)
    worker.flush()
    worker.close()
    assert "certificate" in caplog.text.lower()
    assert secure.requests == []
    pushing(pushgateway_ca_file=tmp_path / "ca.pem", **client).close()
    assert "sedna_worker_info" in last_text(secure)
    secure.close()


def test_no_thread_is_left_behind_by_a_gateway_that_hung(pushing, gateway):
    before = set(threading.enumerate())
    gateway.behaviour = gateways.hang
    pushing(push_deadline=1).close()
    gateway.close()
    eventually(lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith("sedna-metrics")])


# The spool.


def spooled(tmp_path):
    return sorted((tmp_path / "spool").glob("*.spool"))


def test_what_could_not_be_delivered_is_delivered_by_the_next_worker(pushing, gateway, start, tmp_path):
    gateway.behaviour = answer("503 Service Unavailable")
    first = pushing(push_deadline=0.5)
    first.joint_inference.hard_sample(42)
    first.close()
    assert len(spooled(tmp_path)) == 1
    assert oct(spooled(tmp_path)[0].stat().st_mode)[-3:] == "600"
    gateway.behaviour = gateways.good
    del gateway.requests[:]
    other = start({"JOB_NAME": "other"}, export="push", pushgateway_url=gateway.url, push_interval=0.1)
    eventually(lambda: not spooled(tmp_path))
    assert any("/task/task/" in request.path and " 42.0" in request.text for request in gateway.requests)
    other.close()


def test_the_last_runs_final_state_is_visible_for_an_interval_before_the_next_ones(pushing, gateway, tmp_path):
    gateway.behaviour = answer("503 Service Unavailable")
    first = pushing(push_deadline=0.5)
    first.joint_inference.hard_sample(42)
    first.close()
    times = []

    def noted(connection, request):
        times.append(time.monotonic())
        return gateways.good(connection, request)

    gateway.behaviour = noted
    del gateway.requests[:]
    pushing(push_interval=1.5)
    eventually(lambda: len(times) > 1)
    assert times[1] - times[0] > 1
    assert [" 42.0" in request.text for request in gateway.requests[:2]] == [True, False]


def test_a_flush_goes_before_what_other_workers_have_left(pushing, gateway, tmp_path):
    spool = Spool(tmp_path / "spool", 1 << 20, 600)
    for number in range(20):
        left = {"job": "sedna-worker", "namespace": "default", "task": f"left-{number}", "worker_type": "train"}
        spool.put(gateway.url, group_path({**left, "instance": "edge"}), b"x 1\n")

    def slow(connection, request):
        time.sleep(0.2)
        return gateways.good(connection, request)

    gateway.behaviour = slow
    worker = pushing(push_interval=60)
    eventually(lambda: gateway.requests)
    assert worker.flush()
    assert "/task/left-" in gateway.requests[0].path
    assert "/task/task/" in gateway.requests[-1].path
    assert len(spool) > 10


def test_the_state_in_the_spool_stays_current_while_the_gateway_is_away(pushing, gateway, tmp_path, mocker):
    mocker.patch("random.uniform", return_value=30.0)  # the next attempt is far away
    gateway.behaviour = answer("503 Service Unavailable")
    worker = pushing()
    worker.flush()
    worker.joint_inference.hard_sample(42)
    spool = Spool(tmp_path / "spool", 1 << 20, 600)
    eventually(lambda: [b" 42.0" in entry.body for entry in spool.entries()] == [True])
    assert len(gateway.requests) == 1


def test_an_older_state_of_the_same_group_never_comes_after_a_newer_one(pushing, gateway, tmp_path):
    gateway.behaviour = answer("503 Service Unavailable")
    for hard in (1, 2):
        worker = pushing(push_deadline=0.5)
        worker.joint_inference.hard_sample(hard)
        worker.close()
    assert len(spooled(tmp_path)) == 1, "one file a group"
    gateway.behaviour = gateways.good
    del gateway.requests[:]
    worker = pushing()
    worker.joint_inference.hard_sample(3)
    worker.close()
    said = [
        float(line.split()[-1])
        for r in gateway.requests
        for line in r.text.splitlines()
        if line[:25] == "sedna_hard_samples_total{"
    ]
    assert said == sorted(said)
    assert said[-1] == 3
    assert spooled(tmp_path) == []


@pytest.mark.parametrize("end", ["flush", "close"])
@pytest.mark.parametrize("behaviour", [gateways.good, answer("503 Service Unavailable")], ids=["arrives", "fails"])
@pytest.mark.parametrize("is_left", [False, True], ids=["of this run", "of the last run"])
def test_an_old_push_that_ends_late_leaves_a_newer_state_in_the_spool_alone(
    pushing, gateway, tmp_path, end, behaviour, is_left
):
    if is_left:
        gateway.behaviour = answer("503 Service Unavailable")
        pushing(push_deadline=0.3).close()
    held = Held(behaviour)
    gateway.behaviour = held
    worker = pushing(push_timeout=20, push_deadline=0.3)
    eventually(held.requests.__len__)
    worker.joint_inference.hard_sample(42)
    getattr(worker, end)()
    held.go_on.set()
    eventually(lambda: len(held.requests) > 1)
    spool = Spool(tmp_path / "spool", 1 << 20, 600)
    assert [b" 42.0" in entry.body for entry in spool.entries()] == [True]


def test_a_replica_that_ends_while_a_push_hangs_leaves_nothing_in_the_spool(start, gateway, tmp_path):
    held = Held(answer("503 Service Unavailable"))
    gateway.behaviour = held
    worker = start(REPLICA, export="push", pushgateway_url=gateway.url, push_timeout=20, push_deadline=0.3)
    eventually(held.requests.__len__)
    worker.flush()
    assert len(spooled(tmp_path)) == 1, "it may be killed now"
    worker.close()
    assert spooled(tmp_path) == []
    held.go_on.set()
    eventually(lambda: len(held.requests) > 1)
    assert spooled(tmp_path) == []


def test_a_live_workers_group_is_not_touched_by_flush(pushing, gateway, tmp_path, capsys):
    gateway.behaviour = answer("503 Service Unavailable")
    worker = pushing()
    eventually(lambda: spooled(tmp_path))
    gateway.behaviour = gateways.good
    arguments = ["flush", "--pushgateway-url", gateway.url, "--spool-dir", str(tmp_path / "spool")]
    main(arguments)
    assert "0 delivered" in capsys.readouterr().out
    worker.close()


def test_flush_delivers_what_is_left(pushing, gateway, tmp_path, capsys):
    gateway.behaviour = answer("503 Service Unavailable")
    worker = pushing(push_deadline=0.5)
    worker.joint_inference.hard_sample(7)
    worker.close()
    arguments = ["flush", "--pushgateway-url", gateway.url, "--spool-dir", str(tmp_path / "spool")]
    assert main(arguments) == 1
    assert "503" in capsys.readouterr().err
    gateway.behaviour = gateways.good
    assert main(arguments) == 0
    assert "1 delivered" in capsys.readouterr().out
    assert "sedna_hard_samples_total" in last_text(gateway)
    assert list((tmp_path / "spool").iterdir()) == [], "no lock and no temporary file stays"


def test_locks_of_killed_workers_are_removed_and_those_of_live_ones_stay(pushing, gateway, tmp_path):
    assert pushing().flush()
    (live,) = (tmp_path / "spool").glob("*.lock")
    dead = live.with_name("0" * 24 + ".lock")
    dead.touch()
    assert main(["flush", "--pushgateway-url", gateway.url, "--spool-dir", str(tmp_path / "spool")]) == 0
    assert list((tmp_path / "spool").iterdir()) == [live]


def test_two_live_workers_of_one_role_have_a_group_each(gateway, start, tmp_path):
    script = """
import sedna_metrics, sys
worker = sedna_metrics.start(push_interval=0.2)
worker.flush()
print("ready", flush=True)
sys.stdin.read()
"""
    environment = {
        "PATH": "/usr/bin:/bin", "JOB_NAME": "task", "NODE_NAME": "edge", "SEDNA_METRICS_EXPORT": "push",
        "SEDNA_METRICS_LOG": "off", "SEDNA_METRICS_PUSHGATEWAY_URL": gateway.url,
        "SEDNA_METRICS_SPOOL_DIR": str(tmp_path / "spool"), "SEDNA_METRICS_PUSH_TIMEOUT": "0.5",
    }  # fmt: skip
    import sys

    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdin=-1, stdout=-1) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == b"ready\n"
    assert len({request.path for request in gateway.requests}) == 2
    for process in processes:
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_a_torn_file_is_removed_and_a_foreign_one_left_alone(pushing, gateway, tmp_path, caplog):
    gateway.behaviour = answer("503 Service Unavailable")
    pushing(push_deadline=0.3).close()
    (whole,) = spooled(tmp_path)
    torn = whole.with_name("0" * 24 + ".spool")
    torn.write_bytes(whole.read_bytes()[:-10])
    foreign, link = whole.with_name("notes.spool"), whole.with_name("1" * 24 + ".spool")
    foreign.write_text("mine")
    link.symlink_to("/etc/passwd")
    gateway.behaviour = gateways.good
    assert main(["flush", "--pushgateway-url", gateway.url, "--spool-dir", str(tmp_path / "spool")]) == 0
    assert not torn.exists()
    assert "damaged" in caplog.text
    assert foreign.read_text() == "mine"
    assert link.is_symlink()


@pytest.mark.parametrize("folder", ["/dev/full/spool", "/proc/spool", "/dev/null"])
def test_a_spool_that_cannot_be_used_is_said_and_harms_nothing(pushing, gateway, folder, caplog):
    gateway.behaviour = answer("503 Service Unavailable")
    worker = pushing(spool_dir=folder, push_deadline=0.3)
    worker.close()
    assert folder in caplog.text
    assert worker.guard.errors() == 0


def a_link(path):
    path.symlink_to(path.parent)


def of_another_user(path):
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 12345)


def open_to_all(path):
    path.mkdir()
    path.chmod(0o777)


@pytest.mark.parametrize("make", [a_link, of_another_user, open_to_all])
def test_a_default_folder_that_somebody_else_made_is_not_used(tmp_path, mocker, make):
    if make is of_another_user and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    mocker.patch.dict(os.environ, {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")})
    (tmp_path / "tmp").mkdir()
    settings = load({})
    make(spool_folders(settings)[0])
    folder = open_spool(settings).folder
    assert folder == tmp_path / "home" / ".cache" / f"sedna-metrics-{os.getuid()}"
    assert oct(folder.stat().st_mode)[-3:] == "700"


@pytest.mark.parametrize("home", ["", "/proc/nobody"])
def test_a_container_without_any_folder_to_write_to_pushes_all_the_same(pushing, gateway, mocker, caplog, home):
    """A read-only file system, and a user id that nobody knows."""
    mocker.patch.dict(os.environ, {"TMPDIR": "/proc/tmp", "HOME": home})
    mocker.patch("tempfile.tempdir", None)
    mocker.patch("tempfile._candidate_tempdir_list", return_value=["/proc/tmp"])
    if not home:
        del os.environ["HOME"]
        mocker.patch("pwd.getpwuid", side_effect=KeyError)
    worker = pushing(spool_dir="auto")
    assert worker.flush()
    assert gateway.requests
    assert "the last state is lost if it cannot be pushed" in caplog.text


def test_a_named_folder_that_others_may_write_to_is_refused_with_the_reason(pushing, gateway, tmp_path, caplog):
    open_to_all(tmp_path / "open")
    gateway.behaviour = answer("503 Service Unavailable")
    assert not pushing(spool_dir=tmp_path / "open").flush()
    assert "mode 777" in caplog.text
    assert "make it 0700" in caplog.text


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702], ids=oct)
def test_a_folder_that_becomes_open_is_not_written_any_more(pushing, gateway, tmp_path, mode):
    gateway.behaviour = answer("503 Service Unavailable")
    worker = pushing()
    assert worker.flush()
    (tmp_path / "spool").chmod(mode)
    assert not worker.flush()


def test_a_state_goes_only_to_the_gateway_that_it_was_meant_for(pushing, gateway, tmp_path):
    gateway.behaviour = answer("503 Service Unavailable")
    pushing().close()
    other = Gateway()
    arguments = ["flush", "--spool-dir", str(tmp_path / "spool"), "--pushgateway-url"]
    assert main([*arguments, other.url]) == 0
    assert other.requests == []
    assert len(spooled(tmp_path)) == 1
    gateway.behaviour = gateways.good
    assert main([*arguments, gateway.url]) == 0
    assert spooled(tmp_path) == []
    other.close()


def test_a_worker_delivers_only_states_of_its_own_namespace(pushing, gateway, start, tmp_path):
    gateway.behaviour = answer("503 Service Unavailable")
    pushing().close()
    gateway.behaviour = gateways.good
    other = {"JOB_NAME": "other", "NAMESPACE": "another"}
    start(other, export="push", pushgateway_url=gateway.url, push_interval=0.1)
    # Not by flush(), which would go first: what is in the spool is delivered before the worker's own state.
    eventually(lambda: any("/namespace/another/" in request.path for request in gateway.requests))
    assert len(spooled(tmp_path)) == 1


GROUP = "/metrics/job/sedna-worker/instance/n/namespace/default/task/t/worker_type/train"


@pytest.mark.parametrize(
    "group",
    [
        "/metrics/job/x/../../../api/v1/admin/wipe",
        "/metrics/job/sedna-worker",
        "/api/v1/admin/wipe",
        GROUP + "/more/label",
        GROUP.replace("/task/t", "/task/.."),
        GROUP.replace("/task/t", "/task@base64/dA=="),
        GROUP.replace("/task/t", "/task/t%2F.."),
        GROUP + "/",
        GROUP + "?x=1",
    ],
)
def test_a_planted_state_of_another_path_is_not_pushed(gateway, tmp_path, group):
    spool = Spool(tmp_path / "spool", 1 << 20, 600)
    spool.put(gateway.url, group, b"planted 1\n")
    main(["flush", "--spool-dir", str(tmp_path / "spool"), "--pushgateway-url", gateway.url])
    assert gateway.requests == []
    assert len(spool) == 0


def test_a_planted_bomb_is_not_inflated(gateway, tmp_path):
    spool = Spool(tmp_path / "spool", 1 << 20, 600)
    spool.put(gateway.url, GROUP, b"x" * (64 << 20))
    assert spool.entries() == []
    assert len(spool) == 0


def test_a_fifo_and_a_file_of_another_user_in_the_spool_are_left_alone(gateway, tmp_path):
    spool = Spool(tmp_path / "spool", 1 << 20, 600)
    os.mkfifo(spool.folder / f"{'a' * 24}.spool")
    if os.geteuid() == 0:
        spool.put(gateway.url, GROUP, b"x 1\n")
        (other,) = [path for path in spooled(tmp_path) if not path.name.startswith("aaa")]
        os.chown(other, 12345, 12345)
    assert spool.entries() == []
    main(["flush", "--spool-dir", str(tmp_path / "spool"), "--pushgateway-url", gateway.url])
    assert gateway.requests == []


def test_flush_without_a_gateway_lists_what_waits(pushing, gateway, tmp_path, capsys):
    gateway.behaviour = answer("503 Service Unavailable")
    pushing().close()
    assert main(["flush", "--spool-dir", str(tmp_path / "spool")]) == 2
    said = capsys.readouterr()
    assert gateway.url in said.out
    assert "/task/task/" in said.out
    assert "--pushgateway-url" in said.err


def test_a_full_disk_is_counted_and_harms_nothing(pushing, gateway, tmp_path, monkeypatch, caplog):
    # A real full disk needs a file system of its own; ENOSPC from fsync is what the kernel says of one.
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    gateway.behaviour = answer("503 Service Unavailable")
    worker = pushing(push_deadline=0.3)
    worker.close()
    assert value(worker, "sedna_metrics_spool_dropped_total") > 0
    assert "No space left" in caplog.text
    assert worker.guard.errors() == 0
    assert list((tmp_path / "spool").iterdir()) == []


def expired(spool):
    """Number of states that a delivery removes because of their age."""
    return spool.deliver(Pushgateway(load({"SEDNA_METRICS_PUSHGATEWAY_URL": "http://another"}))).dropped


def test_the_spool_keeps_its_bounds(tmp_path):
    tmp_path.chmod(0o700)
    spool = Spool(tmp_path, max_bytes=3500, max_age=100)
    for number in range(30):
        spool.put("http://gateway", GROUP.replace("/t/", f"/{number}/"), os.urandom(500))
        os.utime(max(tmp_path.iterdir(), key=lambda path: path.stat().st_ctime_ns), (time.time() - 50 + number,) * 2)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3500
    assert {entry.group for entry in spool.entries()} == {
        GROUP.replace("/t/", f"/{number}/") for number in range(26, 30)
    }
    with pytest.raises(OSError, match="more than the spool may hold"):
        spool.put("http://gateway", GROUP, os.urandom(4000))
    assert len(spool) == 4
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() + 1e6,) * 2)  # the clock was set back since
    assert expired(spool) == 0
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    group = GROUP.replace("/t/", "/29/")
    assert spool.put("http://gateway", group, b"") == 3, "its own earlier state is replaced, which is no loss"
    assert [entry.group for entry in spool.entries()] == [group]
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    assert expired(spool) == 1


def test_old_groups_of_ours_are_pruned_and_others_are_not(start, pushgateway, capsys):
    start({"JOB_NAME": "a/b"}, export="push", pushgateway_url=pushgateway.url).close()
    requests.put(f"{pushgateway.url}/metrics/job/theirs", data="x 1\n", timeout=5).raise_for_status()
    arguments = ["flush", "--pushgateway-url", pushgateway.url, "--prune-older-than"]
    assert main([*arguments, "1h"]) == 0
    assert "groups pruned: 0" in capsys.readouterr().out
    eventually(lambda: main([*arguments, "0s"]) == 0 and "groups pruned: 1" in capsys.readouterr().out)
    groups = f"{pushgateway.url}/api/v1/metrics"  # a moment later: the gateway answers 202 before it has deleted them
    eventually(lambda: [each["labels"]["job"] for each in requests.get(groups, timeout=5).json()["data"]] == ["theirs"])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--prune-older-than", "1h"], 2, "--prune-older-than needs --pushgateway-url"),
        (["--sd-dir", "/nowhere", "--pushgateway-url", "{gateway}"], 1, "cannot sweep /nowhere"),
        (["--spool-dir", "/proc/spool", "--pushgateway-url", "{gateway}"], 1, "the spool is off or cannot be used"),
        (["--prune-older-than", "1h", "--pushgateway-url", "{gateway}"], 1, "cannot prune: "),
    ],
)
def test_flush_says_what_it_could_not_do(gateway, capsys, arguments, status, said):
    gateway.behaviour = answer("503 Service Unavailable")
    assert main(["flush", *(each.replace("{gateway}", gateway.url) for each in arguments)]) == status
    assert said in capsys.readouterr().err


def test_flush_names_the_option_that_is_wrong(capsys):
    with pytest.raises(SystemExit) as end:
        main(["flush", "--pushgateway-url", "ftp://x"])
    assert end.value.code == 2
    assert "argument --pushgateway-url: 'ftp://x' is not valid: it must be a URL" in capsys.readouterr().err


def test_pruning_a_gateway_that_answers_with_deep_nonsense(gateway, capsys):
    gateway.behaviour = answer("200 OK", body="[" * 100_000)
    assert main(["flush", "--pushgateway-url", gateway.url, "--prune-older-than", "1h"]) == 1
    assert "does not answer as a Pushgateway does" in capsys.readouterr().err


@pytest.mark.parametrize("age", ["7", "d7", "-1d", "1y", ""])
def test_an_age_that_is_none_is_refused(age, capsys):
    with pytest.raises(SystemExit):
        main(["flush", f"--prune-older-than={age}"])
    assert "not a duration" in capsys.readouterr().err


def test_only_the_first_of_many_failures_is_logged(pushing, gateway, caplog):
    caplog.set_level(logging.INFO)
    gateway.behaviour = answer("429 Too Many Requests", "Retry-After: 0\r\n")
    worker = pushing(push_interval=0.1)
    for _ in range(3):
        worker.flush()
    gateway.behaviour = gateways.good
    worker.flush()
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "could not push" in line]) == 1
    assert len([line for line in said if "works again" in line]) == 1


def test_threads_that_keep_the_same_group_leave_one_whole_state(tmp_path):
    spool = Spool(tmp_path / "spool", 1 << 20, 3600)

    def keep(number):
        for _ in range(100):
            spool.put("http://gateway", GROUP, bytes([number]) * 100_000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(4)))
    (entry,) = spool.entries()
    assert len(set(entry.body)) == 1
    assert len(entry.body) == 100_000
    assert [path.suffix for path in spool.folder.iterdir()] == [".spool"]
