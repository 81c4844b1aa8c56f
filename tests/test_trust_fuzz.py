"""Hostile input to all that is read: by hypothesis, five thousand examples each by ``make trust``."""

from __future__ import annotations

import os
import socket
import string
import subprocess

import pytest
import requests
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text
from support import exposition, program, samples

import sedna_metrics
from sedna_metrics import settings as settings_module
from sedna_metrics.cli._workers import figures, samples_by_worker, table
from sedna_metrics.errors import SettingError
from sedna_metrics.exposition.pushgateway import Pushgateway, group_path
from sedna_metrics.exposition.spool import Spool
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.settings import TABLE

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
fuzz = hypothesis_settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
#: Whatever an environment variable can hold: undecodable bytes come as lone surrogates.
anything = st.text(st.characters(blacklist_characters="\0", blacklist_categories=()), max_size=80)
nearly = st.one_of(
    anything,
    st.text(string.digits + "-+.,eE/:@ ", max_size=12),
    st.sampled_from(
        ["0", "-1", "1e999", "nan", "inf", "9470-", "70000", "http://", "http://[", "tcp://1:2", "off", "auto"]
    ),
)

GROUP = "/metrics/job/sedna-worker/instance/n/namespace/default/task/t/worker_type/train"


@fuzz
@given(st.dictionaries(st.sampled_from([setting.variable for setting in TABLE] + ["LOG_LEVEL", "POD_IP"]), nearly))
def test_settings_are_read_or_refused_with_a_reason(environ):
    said = ""
    try:
        settings_module.load(environ)
    except SettingError as why:
        said = str(why)
    assert len(said) < 1000
    settings_module.unknown_variables(environ)
    settings_module.shown(environ)


NAMES = ["JOB_NAME", "SERVICE_NAME", "WORKER_NAME", "NAMESPACE", "NODE_NAME", "DATASET_NAME", "MODEL_URL", "KB_SERVER"]


@fuzz
@given(st.dictionaries(st.sampled_from(NAMES), nearly), anything)
def test_whoever_the_worker_is_its_names_are_labels_and_a_path(environ, hostname):
    identity = WorkerIdentity.from_env(environ, hostname, "script.py")
    for value in (*identity.constant_labels().values(), *identity.grouping_key().values()):
        value.encode("utf-8")
        assert 0 < len(value) <= 600
    path = group_path(identity.grouping_key())
    assert path.isascii()
    assert path.startswith("/metrics/job")
    assert not {"", ".", ".."} & set(path.split("/")[1:])
    assert not set(path) & set("?# \\\n")


@fuzz
@given(st.lists(st.tuples(st.sampled_from(["edge", "new", "old"]), anything), max_size=6), anything)
def test_whatever_is_exposed_is_read_back(pairs, url):
    environ = {"JOB_NAME": "a", "WORKER_NAME": "b"}
    with sedna_metrics.start(environ=environ, host="127.0.0.1", port=0, log="off", process_metrics="off") as worker:
        il, fl = worker.incremental_learning, worker.federated_learning
        with il.training() as training:
            training.output_model(url)
        with il.evaluation() as evaluation:
            evaluation.new_model(url, {name: number for number, (_, name) in enumerate(pairs)})
        for number, (_, node) in enumerate(pairs):
            fl.node_samples(number, client=node)
        text = exposition(worker)
        read = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parse_text(text)
            for sample in family.samples
        }
        for (name, labels), value in samples(worker).items():
            full = tuple(sorted([*labels, ("task", "a"), ("worker", "b")]))
            assert read[name, full] == value or value != value, name


@pytest.mark.parametrize(
    "text", ["plain", 'q"uo\\te', "new\nline", "\u4f60\u597d", "\ud800", "x" * 5000, "\x00\x1b{}"], ids=repr
)
def test_promtool_accepts_what_is_exposed(start, text):
    worker = start(export="pull", host="127.0.0.1", port=0)
    with worker.incremental_learning.training() as training:
        training.output_model(text)
        training.loss(float("nan"))
    worker.federated_learning.node_samples(3, client=text)
    exposed = exposition(worker)
    done = subprocess.run([program("promtool"), "check", "metrics"], input=exposed.encode(), capture_output=True)
    assert b"error while linting" not in done.stderr, done.stderr
    assert done.returncode in (0, 3), done.stderr  # 3: it would have named a metric otherwise


@fuzz
@given(st.binary(max_size=300), st.integers(0, 400), st.binary(max_size=4))
def test_no_file_in_the_spool_does_harm(tmp_path_factory, rubbish, place, change):
    spool = Spool(tmp_path_factory.mktemp("spool"), 2**20, 600)
    spool.put("http://gateway", GROUP, b"x 1\n" * 30)
    (good,) = spool.folder.glob("*.spool")
    content = good.read_bytes()
    changed = content[:place] + change + content[place + len(change) :]
    (spool.folder / f"{'a' * 24}.spool").write_bytes(rubbish)
    (spool.folder / f"{'b' * 24}.spool").write_bytes(changed)
    (spool.folder / f"{'c' * 24}.spool").write_bytes(content[:place])
    groups = {entry.group: entry.body for entry in spool.entries()}
    assert groups[GROUP] == b"x 1\n" * 30
    for group, body in groups.items():
        assert group == GROUP
        assert body == b"x 1\n" * 30, "changed, and not noticed"
    spool.deliver(Pushgateway(settings_module.load({"SEDNA_METRICS_PUSHGATEWAY_URL": "http://another"})))


HTTP = [b"GET ", b"/metrics", b" HTTP/1.1\r\n", b"\r\n", b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"]


@fuzz
@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(HTTP)), max_size=12))
def test_whatever_is_sent_to_the_server_it_answers_the_next(serving, parts):
    with socket.create_connection(serving, timeout=5) as connection:
        try:
            connection.sendall(b"".join(parts))
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            while connection.recv(65536):
                pass
        except OSError:
            pass  # it was let go
    assert requests.get("http://{}:{}/healthz".format(*serving), timeout=10).text.strip() == "ok"


@pytest.fixture
def serving():
    environ = {"JOB_NAME": "a", "WORKER_NAME": "b"}
    worker = sedna_metrics.start(environ=environ, export="pull", host="127.0.0.1", port=0, log="off")
    host, _, port = worker.url.split("/")[2].partition(":")
    yield host, int(port)
    worker.close()


@fuzz
@given(st.text(max_size=300))
def test_top_reads_any_page(text):
    try:
        workers = samples_by_worker('sedna_worker_info{worker="w"} 1\n' + text)
    except (ValueError, KeyError):
        return  # is told as "answers without metrics"
    table([figures(who, samples, samples, 1.0) for who, samples in workers.items()])
