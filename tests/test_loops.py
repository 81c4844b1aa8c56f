"""Loops that are left half way, and what is handed to them that is no number."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import subprocess
import sys
import traceback
from collections import deque
from decimal import Decimal

import numpy as np
import pytest
import requests
from support import eventually, samples, value, values

import sedna_metrics


def stage(worker):
    return [dict(labels)["status"] for labels, number in values(worker, "sedna_stage_status").items() if number == 1]


def step_count(worker):
    return value(worker, "sedna_training_step_duration_seconds_count")


def by_break(loop):
    for _ in loop():
        break


def by_break_within_blocks(loop):
    for _ in loop():
        with contextlib.suppress(KeyError):
            try:
                break
            finally:
                print()


def by_return(loop):
    for _ in loop():
        return print()
    return None


def by_break_where_an_error_was_handled(loop):
    for _ in loop():
        try:
            int("x")
        except ValueError:
            break


def by_break_through_enumerate(loop):
    for _ in enumerate(loop()):
        break


def through(items):
    for item in items():  # noqa: UP028 - as a progress bar does
        yield item


def by_break_through_a_generator(loop):
    for _ in through(loop):
        break


def from_(items):
    yield from items()


def by_break_through_two_generators(loop):
    for _ in through(lambda: from_(loop)):
        break


def by_break_in_a_coroutine(loop):
    async def run():
        for _ in loop():
            await asyncio.sleep(0)
            break

    asyncio.run(run())


def by_raise(loop):
    for _ in loop():
        raise OSError


def by_an_error_of_a_call(loop):
    for _ in loop():
        os.stat("/nowhere/at/all")


def by_an_error_within_blocks(loop):
    for _ in loop():
        with contextlib.suppress(KeyError):
            try:
                raise OSError
            finally:
                print()


def by_an_error_that_is_raised_again(loop):
    for _ in loop():
        try:
            raise OSError
        except OSError:
            raise


def by_an_error_through_a_generator(loop):
    for _ in through(loop):
        raise OSError


def by_an_error_in_a_generator(loop):
    def run():
        for each in loop():
            yield each
            raise OSError

    for _ in run():
        pass


def by_an_error_in_a_coroutine(loop):
    async def run():
        for _ in loop():
            await asyncio.sleep(0)
            raise OSError

    asyncio.run(run())


def by_the_end_of_the_worker(loop):
    kept = loop()
    next(kept)
    sedna_metrics.running().close()


EARLY = [
    by_break, by_break_within_blocks, by_return, by_break_where_an_error_was_handled, by_break_through_enumerate,
    by_break_through_a_generator, by_break_through_two_generators, by_break_in_a_coroutine,
    lambda loop: list(itertools.islice(loop(), 1)), lambda loop: list(zip(range(1), loop())),
    lambda loop: list(zip(loop(), range(1))), lambda loop: list(itertools.takewhile(lambda each: each < 1, loop())),
    lambda loop: any(each == 1 for each in loop()), lambda loop: next(iter(loop())), by_the_end_of_the_worker,
]  # fmt: skip
RAISING = [
    by_raise, by_an_error_of_a_call, by_an_error_within_blocks, by_an_error_that_is_raised_again,
    by_an_error_through_a_generator, by_an_error_in_a_generator, by_an_error_in_a_coroutine,
]  # fmt: skip
LOOPS = [lambda: sedna_metrics.epochs(3), lambda: sedna_metrics.track(range(3))]


@pytest.mark.parametrize("loop", LOOPS, ids=["epochs", "track"])
@pytest.mark.parametrize("leave", EARLY)
def test_a_loop_that_ends_early_is_a_training_that_has_completed(worker, loop, leave):
    leave(loop)
    assert stage(worker) == ["completed"]
    assert worker.active_runs == []
    assert value(worker, "sedna_metrics_internal_errors_total") == 0


@pytest.mark.parametrize("loop", LOOPS, ids=["epochs", "track"])
@pytest.mark.parametrize("leave", RAISING, ids=lambda leave: leave.__name__)
def test_an_error_in_a_loop_within_a_block_is_a_training_that_has_failed(worker, loop, leave):
    with contextlib.suppress(OSError), worker.incremental_learning.training():
        leave(loop)
    assert stage(worker) == ["failed"]
    assert worker.active_runs == []
    assert value(worker, "sedna_worker_last_success_timestamp_seconds") is None


@pytest.mark.parametrize("body", ["raise OSError", "for _ in sedna_metrics.epochs(3): raise OSError"])
def test_an_error_that_ends_the_script_is_a_stage_that_has_failed(gateway, body):
    script = f"""
import sedna_metrics
worker = sedna_metrics.start(export="push", log="off", push_interval=60)
{body}
"""
    environ = {
        **os.environ, "WORKER_NAME": "train-worker-abcde", "JOB_NAME": "j", "SEDNA_METRICS_PUSHGATEWAY_URL": gateway.url
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True)
    assert "OSError" in done.stderr
    lines = gateway.requests[-1].text.splitlines()
    (current,) = [line for line in lines if line.startswith("sedna_stage_status{") and line.endswith(" 1.0")]
    assert 'status="failed",task="j",task_stage="train"' in current


def test_the_last_push_says_that_an_unfinished_loop_has_completed(gateway, start):
    worker = start(export="push", pushgateway_url=gateway.url, push_interval=3600)
    kept = sedna_metrics.epochs(3)
    next(kept)
    worker.close()
    statuses = [line for line in gateway.requests[-1].text.splitlines() if line.startswith("sedna_stage_status{")]
    (current,) = [line for line in statuses if line.endswith(" 1.0")]
    assert 'status="completed"' in current


def test_in_another_rank_of_the_job_loops_only_pass_things_on(worker, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    before = samples(worker)
    assert [list(sedna_metrics.track("ab")) for _ in sedna_metrics.epochs(2)] == [["a", "b"]] * 2
    sedna_metrics.progress(1, 2, loss=3.0)
    assert samples(worker) == before


def test_the_end_of_another_rank_is_not_the_end_of_the_first(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""if True:
        import os, subprocess, sys, requests, sedna_metrics
        worker = sedna_metrics.start(export="pull", host="127.0.0.1", port="0")
        for epoch in sedna_metrics.epochs(3):
            if epoch == 1 and os.environ["LOCAL_RANK"] == "0":
                subprocess.run([sys.executable, __file__], env={**os.environ, "LOCAL_RANK": "1"}, check=True)
                print(requests.get(worker.url).text)
    """)
    environ = {**os.environ, "LOCAL_RANK": "0"}
    done = subprocess.run([sys.executable, script], env=environ, check=True, capture_output=True, text=True)
    samples = [line for line in done.stdout.splitlines() if line.startswith("sedna_")]
    assert [line for line in samples if line.startswith("sedna_training_epoch{") and line.endswith(" 2.0")]
    assert [line for line in samples if 'status="running"' in line and line.endswith(" 1.0")]
    assert not [line for line in samples if line.startswith("sedna_worker_last_success")]
    assert done.stdout.count('"training.completed"') == 2  # message and event of one record


def test_a_validation_pass_within_an_epoch_does_not_move_the_progress(worker, clock):
    left = []
    with worker.incremental_learning.training(epochs=2) as training:
        for _ in training.epochs():
            for step, _ in enumerate(training.track(range(10))):
                clock.advance(1)
                if step == 4:
                    for _ in training.track(range(100)):
                        pass
                left.append(value(worker, "sedna_training_remaining_seconds"))
            for _ in training.track(range(3)):
                pass
            left.append(value(worker, "sedna_training_remaining_seconds"))
    known = [each for each in left if each is not None]
    assert known == sorted(known, reverse=True)
    assert known[0] == pytest.approx(19)


@pytest.mark.parametrize("resumed_at", [0, 70])
def test_the_time_left_is_right_after_a_resume_within_an_epoch(worker, clock, resumed_at):
    with worker.incremental_learning.training(epochs=2) as training:
        training.epoch_begins(0)
        for step in range(resumed_at, 75):
            clock.advance(1)
            training.within_epoch((step + 1) / 100)
        assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(125)


def test_the_time_left_in_own_units_is_right_after_a_resume(worker, clock):
    with worker.incremental_learning.training() as training:
        for step in range(90, 95):
            clock.advance(1)
            training.progress(step, 100)
        assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(6)


@pytest.mark.parametrize("code", [None, 0])
def test_an_exit_without_an_error_within_training_is_no_failure(worker, code):
    with pytest.raises(SystemExit), worker.incremental_learning.training():
        sys.exit(code)
    assert stage(worker) == ["completed"]


@pytest.mark.parametrize("code", [1, "no data"])
def test_an_exit_with_an_error_within_training_is_a_failure(worker, code):
    with pytest.raises(SystemExit), worker.incremental_learning.training():
        sys.exit(code)
    assert stage(worker) == ["failed"]
    assert value(worker, "sedna_worker_last_success_timestamp_seconds") is None


@pytest.mark.parametrize(
    "odd", [None, "0.5", float("nan"), -1.0, object()], ids=["None", "text", "NaN", "-1", "object"]
)
def test_a_duration_that_is_not_a_number_is_rejected(worker, odd):
    with worker.incremental_learning.training(epochs=1) as training:
        training.step_took(0.5)
        training.step_took(odd)
        training.step_took(Decimal("0.5"))
    assert step_count(worker) == 2
    assert value(worker, "sedna_training_step_duration_seconds_sum") == 1
    assert value(worker, "sedna_metrics_rejected_values_total") == 1
    assert all(number == number for number in samples(worker).values())


def test_batches_that_raise_are_a_training_that_failed_and_the_error_is_the_users(worker):
    error = OSError("unreadable")

    def batches():
        yield 1
        raise error

    with pytest.raises(OSError, match="unreadable") as caught:
        list(sedna_metrics.track(batches()))
    assert caught.value is error
    assert error.__context__ is None
    assert "training_run" not in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert stage(worker) == ["failed"]


def test_what_cannot_be_gone_through_is_the_users_error_not_ours(worker):
    with pytest.raises(TypeError, match="not iterable"):
        list(sedna_metrics.track(3))
    assert stage(worker) == ["failed"]
    assert value(worker, "sedna_metrics_internal_errors_total") == 0


def test_a_step_that_is_left_is_neither_timed_nor_done(worker, clock):
    with worker.incremental_learning.training(epochs=1) as training, training.epoch():
        for step in training.steps(range(10)):
            clock.advance(1)
            if step == 2:
                break
        with contextlib.suppress(OSError):
            for step in training.steps(range(10)):
                clock.advance(1)
                if step == 2:
                    raise OSError
    assert step_count(worker) == 4


def test_loading_a_batch_is_not_part_of_the_step(worker, clock):
    def batches():
        for _ in range(3):
            clock.advance(100)
            yield

    with worker.incremental_learning.training(epochs=1) as training:
        for _ in training.steps(batches()):
            clock.advance(2)
    assert value(worker, "sedna_training_step_duration_seconds_sum") == pytest.approx(6)


def test_track_tells_the_time_left_of_the_one_pass_where_no_epochs_are_planned(worker, clock):
    left = []
    with worker.incremental_learning.training() as training:
        for _ in training.track("abcd"):
            clock.advance(2)
            left.append(value(worker, "sedna_training_remaining_seconds"))
    assert left == [None, 6, 4, 2]


def test_track_is_part_of_its_epoch_where_epochs_are_planned(worker, clock):
    with worker.incremental_learning.training(epochs=2) as training:
        for _ in training.epochs():
            for _ in training.track(range(5)):
                clock.advance(1)
            break
        assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(5)


def test_units_of_the_scripts_own_are_not_mixed_with_epochs(worker, clock):
    with worker.incremental_learning.training(epochs=2) as training:
        for epoch in training.epochs():
            for batch in range(10):
                clock.advance(1)
                training.progress(10 * epoch + batch + 1, 20)
            assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(10 - 10 * epoch)


def test_what_was_done_before_a_checkpoint_tells_nothing_of_the_speed(worker, clock):
    with worker.incremental_learning.training(epochs=10) as training:
        clock.advance(1)
        for number in (8, 9):
            with training.epoch(number):
                clock.advance(5)
            assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(5 * (9 - number))


@pytest.mark.parametrize("planned", [3, np.int64(3), 3.0, np.array(3), "3"], ids=repr)
def test_a_whole_number_is_a_whole_number(worker, planned):
    with worker.incremental_learning.training(epochs=planned) as training:
        assert list(training.epochs()) == [0, 1, 2]
    assert list(sedna_metrics.epochs(planned)) == [0, 1, 2]
    assert value(worker, "sedna_training_epochs") == 3
    assert value(worker, "sedna_metrics_rejected_values_total") == 0


@pytest.mark.parametrize("planned", ["many", -1, object()], ids=["text", "negative", "object"])
def test_what_is_no_number_of_epochs_is_refused_and_the_loop_over_it_says_so(worker, planned):
    with worker.incremental_learning.training(epochs=planned) as training, pytest.raises(ValueError, match="epochs=10"):
        training.epochs()
    assert value(worker, "sedna_metrics_rejected_values_total") == 1
    with pytest.raises(ValueError, match="number of epochs"):
        sedna_metrics.epochs(planned)


def test_a_plan_that_is_no_number_leaves_the_last_good_one(worker):
    with worker.incremental_learning.training(epochs=3) as training:
        training.plan("many")
        assert training.planned == 3
    assert value(worker, "sedna_training_epochs") == 3


@pytest.mark.parametrize("total", [np.array([1, 2]), "all", float("nan"), -4, 2.5], ids=repr)
def test_a_total_that_is_no_number_is_refused_and_no_batch_is_lost(worker, total):
    with worker.incremental_learning.training(epochs=1) as training:
        with training.epoch():
            assert list(training.steps([1, 2], total=total)) == [1, 2]
            assert list(training.track([1, 2], total=total)) == [1, 2]
        assert step_count(worker) == 4
    with worker.incremental_learning.evaluation() as evaluation:
        assert list(evaluation.track([1, 2], total=total)) == [1, 2]
    assert value(worker, "sedna_metrics_rejected_values_total") == 3


@pytest.mark.parametrize("bad", ["half", None, float("nan"), float("inf"), -1, np.array([1, 2])], ids=repr)
def test_progress_that_is_no_number_is_refused_and_the_estimate_stands(worker, clock, bad):
    with worker.incremental_learning.training() as training:
        training.progress(0, 4)
        clock.advance(10)
        training.progress(1, 4)
        training.progress(bad, 4)
        if bad is not None:
            training.progress(2, bad)
        assert value(worker, "sedna_training_remaining_seconds") == 30
        clock.advance(10)
        training.progress(2, 4)
        assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(20)
    assert value(worker, "sedna_metrics_rejected_values_total") == (1 if bad is None else 2)


def test_a_history_may_be_a_deque(worker):
    with worker.incremental_learning.training() as training:
        training.loss(deque([3.0, 2.0, 1.5], maxlen=3))
    assert value(worker, "sedna_training_loss") == 1.5


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_loads_data_does_not_end_the_training(start):
    worker = start(export="pull", port="0", host="127.0.0.1")
    loads = multiprocessing.get_context("fork")
    for epoch in sedna_metrics.epochs(2):
        for _ in sedna_metrics.track(range(2)):
            child = loads.Process(target=worker.joint_inference.hard_sample)
            child.start()
            child.join()
            assert child.exitcode == 0
        assert stage(worker) == ["running"]
        assert value(worker, "sedna_training_epoch") == epoch + 1
    assert stage(worker) == ["completed"]
    assert step_count(worker) == 4
    eventually(lambda: requests.get(worker.url) and value(worker, "sedna_hard_samples_total") == 4)


def remaining(worker, kind="training"):
    return value(worker, f"sedna_{kind}_remaining_seconds")


def through_track(training, clock):
    yield from training.track(range(10))


def through_steps(training, clock):
    training.plan(1)
    for _ in training.epochs():
        clock.advance(1000)
        yield from training.steps(range(10))


def through_steps_alone(training, clock):
    training.plan(1)
    clock.advance(1000)
    yield from training.steps(range(10))


def through_epochs(training, clock):
    training.plan(10)
    clock.advance(1000)
    yield from training.epochs()


def through_epoch_blocks(training, clock):
    training.plan(10)
    clock.advance(1000)
    for _ in range(10):
        with training.epoch():
            yield


@pytest.mark.parametrize(
    "loop", [through_track, through_steps, through_steps_alone, through_epochs, through_epoch_blocks]
)
def test_the_time_left_of_training_knows_nothing_of_what_came_before_its_loop(worker, clock, loop):
    with worker.incremental_learning.training() as training:
        clock.advance(1000)
        for number, _ in enumerate(loop(training, clock)):
            if number:
                assert remaining(worker) == pytest.approx(2 * (10 - number))
            clock.advance(2)


def test_the_time_left_of_an_evaluation_knows_nothing_of_what_came_before_its_loop(worker, clock):
    with worker.incremental_learning.evaluation() as evaluation:
        clock.advance(1000)
        loop = evaluation.track(range(10))
        clock.advance(1000)
        for number, _ in enumerate(loop):
            if number:
                assert remaining(worker, "eval") == pytest.approx(2 * (10 - number))
            clock.advance(2)


@pytest.mark.parametrize("at", [0, 1, 7])
@pytest.mark.parametrize("inner", [3, 10, 100])
def test_a_loop_within_any_step_of_another_is_neither_timed_nor_counted(worker, clock, at, inner):
    with worker.incremental_learning.training() as training:
        for number, _ in enumerate(training.track(range(10))):
            if number:
                assert remaining(worker) == pytest.approx(2 * (10 - number))
            clock.advance(1)
            if number == at:
                before = remaining(worker)
                list(training.track(range(inner)))
                assert remaining(worker) == before
            clock.advance(1)
    assert step_count(worker) == 10


def test_a_loop_that_begins_again_is_measured_anew(worker, clock):
    with worker.incremental_learning.evaluation() as evaluation:
        for seconds in (50, 1):
            for number, _ in enumerate(evaluation.track(range(4))):
                if number:
                    assert remaining(worker, "eval") == pytest.approx(seconds * (4 - number))
                clock.advance(seconds)
            clock.advance(1000)


BAD_NUMBERS = [float("nan"), float("inf"), float("-inf"), -1, "half", b"3", None, Ellipsis, np.array([1, 2]), [3]]


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=repr)
def test_a_part_of_an_epoch_that_is_not_a_number_is_rejected_and_the_estimate_stands(worker, clock, bad):
    with worker.incremental_learning.training(epochs=2) as training, training.epoch():
        training.within_epoch(bad)
        training.within_epoch(0.0)
        clock.advance(10)
        training.within_epoch(0.5)
        training.within_epoch(bad)
        assert remaining(worker) == 30
        clock.advance(10)
        training.within_epoch(np.float32(1.0))
        assert remaining(worker) == pytest.approx(20)
    assert value(worker, "sedna_metrics_rejected_values_total") == 2


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=repr)
def test_the_measurement_in_own_units_begins_at_the_first_valid_number(worker, clock, bad):
    with worker.incremental_learning.training() as training:
        training.progress(bad, 100)
        clock.advance(1000)
        training.progress(90, 100)
        clock.advance(2)
        training.progress(91, 100)
        assert remaining(worker) == pytest.approx(18)
    assert value(worker, "sedna_metrics_rejected_values_total") == 1
