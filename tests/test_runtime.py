"""start(), the worker, close()."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import pytest
import requests
from prometheus_client import CollectorRegistry, Counter, generate_latest
from support import samples, value

import sedna_metrics
from sedna_metrics import RegistryConflictError, SettingError, _runtime


def test_importing_does_nothing():
    code = (
        "import sys, threading, os\n"
        "before = set(sys.modules)\n"
        "import sedna_metrics\n"
        "new = set(sys.modules) - before\n"
        "assert not new & {'requests', 'http.server', 'prometheus_client', 'socket', 'sedna', 'logging'}, new\n"
        "assert threading.active_count() == 1\n"
        "assert 'start' in dir(sedna_metrics)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_second_start_gives_the_running_worker(start, caplog):
    worker = start()
    assert sedna_metrics.start() is worker
    assert sedna_metrics.start(port=0) is worker
    assert "ignored" in caplog.text


def test_after_close_a_new_worker_can_start(start):
    first = start()
    first.close()
    first.close()
    assert start() is not first


def test_a_script_imported_twice_is_harmless(start):
    worker = start()
    for _ in range(2):
        worker.joint_inference.edge_inference(lambda: 1)()
    assert value(worker, "sedna_inferences_total", location="edge") == 2


def test_a_wrong_setting_raises_and_leaves_nothing_behind(start):
    handlers, threads = list(logging.getLogger().handlers), threading.active_count()
    with pytest.raises(SettingError, match="export"):
        start(export="push", log="json")
    with pytest.raises(SettingError, match="no address"):
        start(export="pull", host="no such host")
    with pytest.raises(TypeError, match="prot"):
        start(prot=1)
    assert list(logging.getLogger().handlers) == handlers
    assert threading.active_count() == threads
    assert start() is not None


def test_a_registry_that_holds_our_names_is_refused(start):
    registry = CollectorRegistry()
    Counter("sedna_hard_samples", "Mine.", registry=registry)
    with pytest.raises(RegistryConflictError, match="sedna_hard_samples"):
        start(registry=registry)
    start(registry=CollectorRegistry())


def test_the_users_own_metrics_are_exposed_along_with_ours(start):
    registry = CollectorRegistry()
    Counter("frames", "Frames.", registry=registry).inc(3)
    worker = start(registry=registry, export="pull", port=0, host="127.0.0.1")
    text = requests.get(worker.url, timeout=5).text
    assert "frames_total 3.0" in text
    assert "sedna_worker_info" in text
    assert generate_latest(registry).decode().count("sedna_worker_info{") == 1
    worker.close()
    assert "sedna" not in generate_latest(registry).decode()


def test_success_is_noted_only_if_the_body_ended_well(start, clock):
    with start() as worker:
        pass
    assert value(worker, "sedna_worker_last_success_timestamp_seconds") == clock.time()
    with pytest.raises(KeyError), start() as worker:
        raise KeyError
    assert value(worker, "sedna_worker_last_success_timestamp_seconds") is None


def test_the_class_in_use_tells_the_kind_where_the_name_does_not(start):
    worker = start({"WORKER_NAME": "ab1c2"})
    worker.federated_learning  # noqa: B018
    (labels,) = [dict(labels) for (name, labels) in samples(worker) if name == "sedna_worker_info"]
    assert labels["kind"] == "federatedlearningjob"
    assert labels["version"] == sedna_metrics.__version__


@pytest.mark.parametrize(
    ("environ", "arguments", "url", "pushes"),
    [
        ({"WORKER_NAME": "train-worker-x"}, {"pushgateway_url": "http://127.0.0.1:9"}, False, True),
        ({"WORKER_NAME": "train-worker-x"}, {}, True, False),
        ({"WORKER_NAME": "edgeworker-x"}, {"pushgateway_url": "http://127.0.0.1:9"}, True, False),
        ({"WORKER_NAME": "edgeworker-x"}, {"pushgateway_url": "http://127.0.0.1:9", "export": "both"}, True, True),
        ({"WORKER_NAME": "edgeworker-x"}, {"export": "off"}, False, False),
    ],
)
def test_how_metrics_leave_the_worker(start, environ, arguments, url, pushes):
    worker = start(environ, **{"export": "auto", "host": "127.0.0.1", "port": 0, "push_deadline": 0.1, **arguments})
    assert (worker.url is not None) == url
    assert any(thread.name == "sedna-metrics-push" for thread in threading.enumerate()) == pushes


@pytest.mark.parametrize(
    ("environ", "export", "is_said"),
    [({}, "auto", True), ({}, "pull", False), ({}, "both", False), ({"WORKER_NAME": "edgeworker-x"}, "auto", False)],
)
def test_a_pushgateway_that_nothing_is_pushed_to_is_said(start, caplog, environ, export, is_said):
    gateway = {"pushgateway_url": "http://127.0.0.1:9", "push_deadline": 0.1}
    start(environ, export=export, host="127.0.0.1", port=0, **gateway)
    assert ("nothing is pushed" in caplog.text) == is_said


def test_closing_leaves_no_thread_and_frees_the_port(start):
    before = threading.active_count()
    worker = start(export="both", host="127.0.0.1", port=0, pushgateway_url="http://127.0.0.1:9", push_deadline=0.1)
    url = worker.url
    worker.close()
    assert threading.active_count() <= before + 1  # the push thread may still see its last attempt fail
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=2)


def test_a_hostile_job_name_harms_nothing(start):
    for name in ("a\nb", 'q"uote', "x" * 10_000, "bad\udcff"):
        worker = start({"JOB_NAME": name}, export="pull", port=0, host="127.0.0.1", log="json")
        worker.incremental_learning.iteration(1)
        assert requests.get(worker.url, timeout=5).status_code == 200
        worker.close()


def test_a_library_that_starts_and_ends_the_worker_leaves_the_scripts_alone():
    with sedna_metrics.start(environ={}, export="off", log="off") as outer:
        with sedna_metrics.start() as inner:
            assert inner is outer
        assert sedna_metrics.start() is outer
    assert _runtime.running() is outer, "somebody else called start() and never left"
    outer.close()
    assert _runtime.running() is None


@pytest.mark.parametrize("wrong", [{"environ": 5}, {"registry": 5}])
def test_what_start_cannot_read_is_an_error_that_says_so(wrong):
    with pytest.raises(TypeError, match=next(iter(wrong))):
        sedna_metrics.start(**wrong)
    assert _runtime.running() is None


def test_what_is_tested_is_what_was_installed():
    if os.environ.get("TESTED") != "wheel":
        pytest.skip("the checkout is tested")
    assert "site-packages" in sedna_metrics.__file__
