"""The worker's log."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings

import pytest

from sedna_metrics import log_context
from sedna_metrics.logs import configure_logging

IDENTITY = {"task": "digits", "worker": "edgeworker-1"}


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def lines(stream):
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def _json_log(stream):
    undo = configure_logging("json", "INFO", IDENTITY, stream)
    yield
    undo()


@pytest.mark.usefixtures("_json_log")
def test_a_record_is_one_object_with_identity_context_and_extras(lines):
    with log_context(iteration=3):
        logging.getLogger("mine").info("hello %s", "you", extra={"frames": 5})
    (record,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record.pop("timestamp"))
    assert record == {
        "level": "INFO",
        "logger": "mine",
        "message": "hello you",
        "task": "digits",
        "worker": "edgeworker-1",
        "iteration": 3,
        "frames": 5,
    }


@pytest.mark.usefixtures("_json_log")
def test_extras_cannot_take_the_place_of_what_is_reserved(lines):
    logging.getLogger("mine").info("x", extra={"task": "forged", "level": "forged", "logger": "forged"})
    (record,) = lines()
    assert (record["task"], record["level"], record["logger"]) == ("digits", "INFO", "mine")
    assert record["extra_task"] == record["extra_level"] == "forged"


@pytest.mark.usefixtures("_json_log")
def test_an_exception_is_text_and_a_newline_forges_no_second_record(lines):
    try:
        raise ValueError('a "quoted"\n{"message": "forged"}')
    except ValueError:
        logging.getLogger("mine").exception("it\nbroke")
    (record,) = lines()
    assert record["message"] == "it\nbroke"
    assert "ValueError" in record["exception"]


@pytest.mark.usefixtures("_json_log")
def test_warnings_come_too(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn("careful", stacklevel=1)
    assert "careful" in lines()[0]["message"]


@pytest.mark.usefixtures("_json_log")
def test_uvicorns_records_come_once(lines, stream):
    logging.getLogger("uvicorn.access").info("GET /")
    assert len(lines()) == 1


def test_logging_is_as_it_was_after_undo(stream):
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    configure_logging("json", "DEBUG", IDENTITY, stream)()
    assert (list(root.handlers), root.level) == (before, level)


def test_off_changes_nothing(stream):
    before = list(logging.getLogger().handlers)
    configure_logging("off", "DEBUG", IDENTITY, stream)
    assert list(logging.getLogger().handlers) == before


def test_text_is_for_people_with_the_same_context(stream):
    undo = configure_logging("text", "INFO", IDENTITY, stream)
    with log_context(epoch=2):
        logging.getLogger("mine").info("trained")
    undo()
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    trained  epoch=2\n", stream.getvalue())


def test_lifecycle_events_carry_the_numbers_of_the_metrics(start, capsys):
    worker = start(log="json")
    il = worker.incremental_learning
    il.iteration(2)
    with il.training(samples=5, epochs=1) as training:
        for _ in training.epochs():
            training.loss(0.5)
        training.output_model("/m")
    with il.evaluation(samples=3) as evaluation:
        evaluation.new_model("/m", precision=0.9)
    with il.deployment("/m"):
        pass
    worker.close()
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    events = {record["event"]: record for record in records if "event" in record}
    assert list(events) == [
        "iteration.started",
        "training.started",
        "training.epoch",
        "training.completed",
        "evaluation.started",
        "evaluation.completed",
        "model.deploy_waiting",
        "model.deployed",
    ]
    assert events["training.completed"]["loss"] == 0.5
    assert events["training.completed"]["iteration"] == 2
    assert events["evaluation.completed"]["new_precision"] == 0.9
    assert all(record["task"] == "task" for record in records)
