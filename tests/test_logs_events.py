"""Lifecycle events: one for each call, with the fields that are declared and the numbers of the metrics."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
from support import value

from sedna_metrics.catalogue import log as contract

DECLARED = {event.name: event for event in contract.EVENTS}


@pytest.fixture
def stdout(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


@pytest.fixture
def worker(stdout, start):
    return start({"NAMESPACE": "n"}, log="json")


@pytest.fixture
def events(stdout):
    """Name and line of the events so far."""

    def events_():
        lines = [json.loads(line) for line in stdout.getvalue().splitlines()]
        return [(line["event"], line) for line in lines if line.get("event", "worker.started") != "worker.started"]

    return events_


def names(events):
    return [name for name, _ in events]


def everything(worker, clock):
    """Whatever a task can tell of its life."""
    il, fl, ll = worker.incremental_learning, worker.federated_learning, worker.lifelong_learning
    il.iteration(2)
    il.stage("train", "ready")
    with il.training(samples=5, epochs=1) as training:
        for _ in training.epochs():
            clock.advance(10)
            training.loss(0.5)
        training.output_model("s3://user:pass@models/new?sig=abc")
    with il.evaluation(samples=3) as evaluation:
        evaluation.new_model("/new", precision=0.9)
        evaluation.old_model("/old", precision=0.8)
    with il.deployment("/new"):
        pass
    il.not_deployed("/other", "worse")
    with fl.training(samples=7):
        with fl.waiting():
            pass
        fl.aggregate_received(3)
    fl.train_nodes(["a", "b"])
    fl.train_nodes(["b", "a"])
    with fl.aggregation(4) as aggregation:
        aggregation.update("a", 3)
        clock.advance(2)
    ll.known_tasks(3)
    ll.known_tasks(3)
    for failing in (il.training, il.evaluation, fl.aggregation, worker.joint_inference.edge_inference):
        with pytest.raises(OSError, match="no disk"), failing():
            raise OSError("no disk")


def test_every_declared_event_is_written_with_no_field_but_those_declared(worker, events, clock):
    everything(worker, clock)
    with pytest.raises(ValueError, match="x"), worker:
        raise ValueError("x")
    seen = {}
    for name, line in events():
        own = {field for field in line if field not in contract.FIELDS or field in DECLARED[name].fields}
        seen.setdefault(name, set()).update(own)
    assert seen.keys() == DECLARED.keys() - {"worker.started", "worker.terminated"}  # these have tests of their own
    for name, fields in seen.items():
        declared = {each.replace("<metric>", "precision") for each in DECLARED[name].fields}
        assert fields <= declared, name
        assert declared - fields <= {"loss", "samples", "epochs", "model_url", "remaining_seconds"}, name


def test_a_life_is_told_in_order(worker, events, clock):
    everything(worker, clock)
    assert names(events()) == [
        "iteration.started",
        "stage.changed",
        "training.started",
        "training.epoch",
        "training.completed",
        "evaluation.started",
        "evaluation.completed",
        "model.deploy_waiting",
        "model.deployed",
        "model.not_deployed",
        "training.started",
        "training.waiting",
        "aggregate.received",
        "training.completed",
        "nodes.changed",
        "aggregation.started",
        "aggregation.completed",
        "knowledge.updated",
        "training.started",
        "training.failed",
        "evaluation.started",
        "evaluation.failed",
        "aggregation.started",
        "aggregation.failed",
        "inference.failed",
    ]


def test_events_carry_the_numbers_of_the_metrics(worker, events, clock):
    il = worker.incremental_learning
    il.iteration(2)
    with il.training(samples=5, epochs=2) as training:
        for _ in training.epochs():
            clock.advance(10)
            training.loss(0.25)
            assert training is not None
    told = dict(events())
    assert told["iteration.started"]["iteration"] == value(worker, "sedna_iteration") == 2
    epoch, completed = told["training.epoch"], told["training.completed"]
    assert (epoch["epoch"], epoch["epochs"]) == (2, 2)
    assert epoch["loss"] == value(worker, "sedna_training_loss") == 0.25
    assert completed["samples"] == value(worker, "sedna_training_samples") == 5
    assert completed["duration_seconds"] == 20
    assert completed["level"] == "INFO"
    assert (completed["iteration"], completed["task_stage"]) == (2, "train")


def test_the_first_event_says_where_the_metrics_are(capsys, start):
    worker = start({"NAMESPACE": "n"}, log="json", export="pull", host="127.0.0.1", port=0)
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["event"], line["metrics_url"], line["level"]) == ("worker.started", worker.url, "INFO")
    assert "pushgateway" not in line


def test_a_loss_that_is_no_number_is_told(worker, events):
    with worker.incremental_learning.training(epochs=1) as training:
        for _ in training.epochs():
            training.loss(float("nan"))
    assert dict(events())["training.epoch"]["loss"] == "NaN"


def test_a_models_address_is_told_without_its_secrets(worker, events):
    with worker.incremental_learning.training() as training:
        training.output_model("https://user:pass@host/model?X-Amz-Signature=abc")
    assert dict(events())["training.completed"]["model_url"] == "https://host/model"


def test_a_failure_says_why(worker, events):
    with pytest.raises(OSError, match="no disk"), worker.incremental_learning.training(samples=1):
        raise OSError("no disk: password=hunter2")
    failed = dict(events())["training.failed"]
    assert (failed["error"], failed["reason"], failed["level"]) == ("OSError", "no disk: password=***", "ERROR")


def test_an_exception_that_leaves_the_worker_is_a_record_with_its_trace(start, capsys):
    with pytest.raises(ValueError, match="why"), start(log="json"):
        raise ValueError("why")
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["event"], line["reason"]) == ("worker.failed", "why")
    assert "Traceback" in line["exception"]


def test_failing_inferences_are_told_once_a_minute_and_the_rest_as_the_worker_ends(worker, events, clock):
    infer = worker.joint_inference.edge_inference

    def fail(times):
        for _ in range(times):
            with pytest.raises(OSError, match="broken"), infer():
                raise OSError("broken")

    fail(100)
    clock.advance(61)
    fail(50)
    worker.close()
    told = events()
    assert names(told) == ["inference.failed"] * 3
    assert [line["suppressed"] for _, line in told] == [0, 99, 49]
    assert [line["failures"] for _, line in told] == [1, 101, 150]
    assert "OSError: broken" in told[0][1]["exception"]
    assert {line["location"] for _, line in told} == {"edge"}


def test_inferences_that_succeed_are_not_logged(worker, events):
    for _ in range(10):
        with worker.joint_inference.edge_inference():
            pass
    assert events() == []


def test_a_level_above_info_leaves_only_failures(start, capsys, clock):
    worker = start(log="json", log_level="ERROR")
    everything(worker, clock)
    worker.close()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["level"] for line in lines} == {"ERROR"}


def test_a_handler_of_the_workers_own_gets_events_as_records(worker, caplog):
    worker.incremental_learning.iteration(2)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("sedna_metrics.events", "iteration.started")
    ]


@pytest.mark.usefixtures("worker")
def test_an_event_is_forged_by_no_extra(stdout):
    logging.getLogger("mine").info("x", extra={"event": "training.completed", "_sedna_event": {"event": "y"}})
    line = json.loads(stdout.getvalue().splitlines()[-1])
    assert "event" not in line
    assert line["extra_event"] == "training.completed"


def test_what_is_refused_writes_no_event(worker, events):
    il, fl = worker.incremental_learning, worker.federated_learning
    for refused in (lambda: il.stage("train", "rnning"), lambda: il.iteration(-1), lambda: fl.iteration("third")):
        refused()
    assert names(events()) == []


def test_an_evaluation_tells_the_scores_of_its_own_alone(worker, events):
    il = worker.incremental_learning
    with il.evaluation() as evaluation:
        evaluation.new_model("/1", precision=0.9, recall=0.8)
    with il.evaluation() as evaluation:
        evaluation.new_model("/2", {"precision": "good", "f1": 0.5})
    last = events()[-1][1]
    assert last["new_f1"] == 0.5
    assert not {"new_precision", "new_recall"} & last.keys()


@pytest.mark.parametrize("bad", [float("nan"), -1, "half", Ellipsis], ids=repr)
def test_the_number_of_a_round_that_is_invalid_is_in_no_event(worker, events, bad):
    fl = worker.federated_learning
    with fl.aggregation(3):
        fl.aggregate_received(bad)
    with fl.aggregation(bad):
        pass
    assert [line["round"] for name, line in events() if name == "aggregation.completed"] == [3, 4]
    assert all(line.get("round", 3) in (3, 4) for _, line in events())
