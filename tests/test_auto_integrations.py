"""Progress that finds the running worker by itself."""

from __future__ import annotations

import pytest
from frameworks import standins
from support import value, values

import sedna_metrics


def state(worker, name, label):
    return [dict(labels)[label] for labels, number in values(worker, name).items() if number == 1]


def test_without_a_worker_they_only_pass_things_on():
    sedna_metrics.progress(1, 2, loss=3)
    assert list(sedna_metrics.epochs(2)) == [0, 1]
    assert list(sedna_metrics.track("ab")) == ["a", "b"]


def test_progress_goes_to_the_training_under_way(worker, clock):
    with worker.lifelong_learning.training():
        sedna_metrics.progress(0, 4, loss=2.0)
        clock.advance(10)
        sedna_metrics.progress(1, 4, loss=[3.0, 1.0])
        assert value(worker, "sedna_training_loss") == 1
        assert value(worker, "sedna_training_remaining_seconds") == 30
    sedna_metrics.progress(1, 4, loss=7.0)
    assert value(worker, "sedna_training_loss") == 1, "no training is under way"


def test_progress_goes_to_the_evaluation_under_way(worker, clock):
    with worker.incremental_learning.evaluation():
        sedna_metrics.progress(0, 2)
        clock.advance(10)
        sedna_metrics.progress(1, 2, loss=5)
        assert value(worker, "sedna_eval_remaining_seconds") == 10
        for _ in sedna_metrics.track([1, 2, 3, 4]):
            clock.advance(1)
    assert values(worker, "sedna_training_step_duration_seconds_count") == {}


def test_epochs_and_steps_of_a_training_under_way(worker, clock):
    with worker.incremental_learning.training():
        seen = []
        for epoch in sedna_metrics.epochs(2):
            for _batch in sedna_metrics.track(range(5)):
                clock.advance(1)
            left = value(worker, "sedna_training_remaining_seconds")
            seen.append((epoch, value(worker, "sedna_training_epoch"), left))
    assert seen == [(0, 1, pytest.approx(5)), (1, 2, pytest.approx(0))]
    assert value(worker, "sedna_training_epochs") == 2
    assert value(worker, "sedna_training_step_duration_seconds_count") == 10


def test_epochs_are_a_training_of_their_own_where_none_is_under_way(start):
    worker = start({"WORKER_NAME": "trainworker-x"})
    for _ in sedna_metrics.epochs(range(3)):
        assert state(worker, "sedna_train_status", "status") == ["running"]
    assert state(worker, "sedna_train_status", "status") == ["completed"]


def test_a_pass_without_epochs_is_all_there_is(worker, clock):
    left = []
    for _ in sedna_metrics.track(iter("abcd"), total=4):
        clock.advance(2)
        left.append(value(worker, "sedna_training_remaining_seconds"))
    assert left == [None, 6, 4, 2]
    assert state(worker, "sedna_stage_status", "status") == ["completed"]


@pytest.fixture
def keras(monkeypatch):
    standins.install("keras", monkeypatch)


def fit(callback, clock, epochs=2, steps=4, initial=0, fail=False):
    callback.set_params({"epochs": epochs, "steps": steps, "verbose": 0})
    callback.on_train_begin({})
    for epoch in range(initial, epochs):
        callback.on_epoch_begin(epoch, {})
        for batch in range(steps):
            callback.on_train_batch_begin(batch, {})
            clock.advance(1)
            callback.on_train_batch_end(batch, {"loss": 9.0})
            if fail:
                raise RuntimeError
        callback.on_test_batch_end(0)
        callback.on_epoch_end(epoch, {"loss": 1.0 / (epoch + 1), "val_loss": 3.0})
    callback.on_train_end({})


def test_a_keras_callback_tells_epochs_steps_time_left_and_loss(worker, clock, keras):
    callback = sedna_metrics.keras_callback()
    assert isinstance(callback, standins.Base)
    with worker.incremental_learning.training():
        fit(callback, clock)
        assert value(worker, "sedna_training_loss") == 0.5
        assert value(worker, "sedna_training_epoch") == 2
        assert value(worker, "sedna_training_epochs") == 2
        assert value(worker, "sedna_training_remaining_seconds") == 0
        assert value(worker, "sedna_training_step_duration_seconds_count") == 8
        fit(callback, clock)  # each round of federated learning is a fit
    assert value(worker, "sedna_training_step_duration_seconds_count") == 16


def test_a_keras_callback_knows_the_time_left_within_an_epoch(worker, clock, keras):
    callback = sedna_metrics.keras_callback()
    with worker.incremental_learning.training():
        with pytest.raises(RuntimeError):
            fit(callback, clock, fail=True)
        assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(7)


def test_a_keras_callback_tells_the_progress_of_an_evaluation(worker, clock, keras):
    callback = sedna_metrics.keras_callback()
    callback.set_params({"steps": 4})
    with worker.incremental_learning.evaluation():
        callback.on_test_batch_begin(0)
        clock.advance(3)
        callback.on_test_batch_end(0)
        assert value(worker, "sedna_eval_remaining_seconds") == 9
