"""Delivery to a gateway that misbehaves, on real sockets: the worker's loop goes on, and what was counted arrives."""

from __future__ import annotations

import logging
import subprocess
import threading
import time

import gateways
import pytest
import requests
from conftest import eventually, value
from gateways import Gateway, answer
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from trustme import CA

from sedna_metrics.cli import main


@pytest.fixture
def pushing(gateway, start):
    """A worker that pushes often; give settings to change that."""

    def start_(**arguments):
        settings = {"pushgateway_url": gateway.url, "push_interval": 0.1, "push_timeout": 0.5, "push_deadline": 2}
        return start({"JOB_NAME": "task", "NODE_NAME": "edge"}, export="push", **{**settings, **arguments})

    return start_


def last_text(gateway):
    return gateway.requests[-1].text


def test_one_connection_is_kept_and_the_body_is_gzipped(pushing, gateway):
    pushing()
    eventually(lambda: len(gateway.requests) > 4)
    assert gateway.connections == 1
    assert {request.headers["content-encoding"] for request in gateway.requests} == {"gzip"}
    assert "sedna_worker_info{" in last_text(gateway)


def test_a_gateway_that_knows_no_gzip_gets_plain_text(pushing, gateway):
    def old(connection, request):
        zipped = "content-encoding" in request.headers
        return answer("400 Bad Request" if zipped else "200 OK")(connection, request)

    gateway.behaviour = old
    worker = pushing()
    assert worker.flush()
    eventually(lambda: len(gateway.requests) > 3)
    assert ["content-encoding" in request.headers for request in gateway.requests[:4]] == [True, False, False, False]
    assert value(worker, "sedna_metrics_push_failures_total") == 0


@pytest.mark.parametrize(
    "bad",
    [
        gateways.reset,
        gateways.close_after,
        gateways.nonsense,
        gateways.hang,
        gateways.trickle,
        answer("500 Internal Server Error"),
        answer("502 Bad Gateway", body="<html>nginx</html>"),
        answer("429 Too Many Requests", "Retry-After: 0\r\n"),
        answer("404 Not Found"),
        answer("302 Found", "Location: /metrics/job/elsewhere\r\n"),
        answer("400 Bad Request"),
        answer("413 Payload Too Large"),
    ],
    ids=["reset", "closed", "nonsense", "hang", "trickle", "500", "502", "429", "404", "circle", "400", "413"],
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


def test_what_is_refused_is_not_sent_over_and_over(pushing, gateway):
    gateway.behaviour = answer("400 Bad Request", body="inconsistent")
    worker = pushing(push_interval=60, push_deadline=1)
    worker.flush()
    # With and without gzip, with and without the worker's own collectors; and the first push may have come earlier.
    assert len(gateway.requests) <= 8
    assert value(worker, "sedna_metrics_spooled_total") == 0, "a spooled push that is refused again would be poison"


class Poison:
    def collect(self):
        family = GaugeMetricFamily("mine", "Mine.", labels=["poison"])
        family.add_metric(["\N{SKULL AND CROSSBONES}"], 1)
        yield family


def test_a_poisoned_metric_of_the_workers_own_does_not_keep_ours_back(pushing, gateway, caplog):
    def refuse_poison(connection, request):
        return answer("400 Bad Request" if "poison" in request.text else "200 OK", body="no poison")(
            connection, request
        )

    gateway.behaviour = refuse_poison
    registry = CollectorRegistry()
    registry.register(Poison())
    worker = pushing(registry=registry)
    worker.joint_inference.hard_sample(5)
    worker.close()
    assert "sedna_hard_samples_total" in last_text(gateway)
    assert "poison" not in last_text(gateway)
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    assert "no poison" in caplog.text


@pytest.mark.parametrize("code", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_is_followed_with_the_same_method_and_body_but_not_with_the_password(pushing, gateway, code):
    other = Gateway()
    gateway.behaviour = answer(code, f"Location: {other.url}/elsewhere\r\n")
    pushing(pushgateway_username="me", pushgateway_password="canary").close()
    assert "authorization" in gateway.requests[-1].headers
    assert other.requests[-1].method == "PUT"
    assert "sedna_worker_info" in last_text(other)
    assert "authorization" not in other.requests[-1].headers
    other.close()


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
    assert worker._boundary.errors() == 0


def test_in_tmp_a_folder_that_somebody_else_made_is_not_used(tmp_path, monkeypatch, caplog):
    import os

    from sedna_metrics import settings
    from sedna_metrics._exporters import default_spool_dir, open_spool

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert open_spool(settings.load({})).folder == default_spool_dir()
    assert oct(default_spool_dir().stat().st_mode)[-3:] == "700"
    default_spool_dir().rmdir()
    default_spool_dir().symlink_to(tmp_path)
    assert open_spool(settings.load({})) is None
    default_spool_dir().unlink()
    if os.geteuid() == 0:
        default_spool_dir().mkdir()
        os.chown(default_spool_dir(), 12345, 12345)
        assert open_spool(settings.load({})) is None
        assert "belongs to another user" in caplog.text


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
    assert worker._boundary.errors() == 0
    assert list((tmp_path / "spool").iterdir()) == []


def test_the_spool_keeps_its_bounds(tmp_path):
    import os

    from sedna_metrics.exposition.spool import Spool

    spool = Spool(tmp_path, max_bytes=3000, max_age=100)
    for number in range(30):
        spool.put(f"/metrics/job/{number}", os.urandom(500))
        os.utime(max(tmp_path.iterdir(), key=lambda path: path.stat().st_ctime_ns), (time.time() - 50 + number,) * 2)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3000
    assert {entry.group for entry in spool.entries()} == {f"/metrics/job/{number}" for number in range(26, 30)}
    with pytest.raises(OSError, match="more than the spool may take"):
        spool.put("/metrics/job/x", os.urandom(4000))
    assert len(spool) == 4
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() + 1e6,) * 2)  # the clock was set back since
    assert spool.expire() == 0
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    assert spool.expire() == 4


def test_old_groups_of_ours_are_pruned_and_others_are_not(start, pushgateway, capsys):
    start({"JOB_NAME": "a/b"}, export="push", pushgateway_url=pushgateway.url).close()
    requests.put(f"{pushgateway.url}/metrics/job/theirs", data="x 1\n", timeout=5).raise_for_status()
    arguments = ["flush", "--pushgateway-url", pushgateway.url, "--prune-older-than"]
    assert main([*arguments, "1h"]) == 0
    assert "0 groups pruned" in capsys.readouterr().out
    eventually(lambda: main([*arguments, "0s"]) == 0 and "1 groups pruned" in capsys.readouterr().out)
    labels = [
        group["labels"]["job"] for group in requests.get(f"{pushgateway.url}/api/v1/metrics", timeout=5).json()["data"]
    ]
    assert labels == ["theirs"]


@pytest.mark.parametrize("age", ["7", "d7", "-1d", "1y", ""])
def test_an_age_that_is_none_is_refused(age, capsys):
    with pytest.raises(SystemExit):
        main(["flush", f"--prune-older-than={age}"])
    assert "no duration" in capsys.readouterr().err


def test_only_the_first_of_many_failures_is_logged(pushing, gateway, caplog):
    caplog.set_level(logging.INFO)
    gateway.behaviour = answer("429 Too Many Requests", "Retry-After: 0\r\n")
    worker = pushing(push_interval=0.1)
    for _ in range(3):
        worker.flush()
    gateway.behaviour = gateways.good
    worker.flush()
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "push failed" in line]) == 1
    assert len([line for line in said if "works again" in line]) == 1
