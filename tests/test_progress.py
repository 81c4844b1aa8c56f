"""How long it will still take: nothing rather than nonsense, never negative, never NaN."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from clocks import FakeClock
from hypothesis import given, strategies as st

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.catalogue.learning import TRAINING_COMPLETION, TRAINING_REMAINING
from sedna_metrics.metrics import Instruments
from sedna_metrics.tasks._time_left import TimeLeft


def time_left(clock, total):
    boundary = ErrorBoundary(clock)
    context = SimpleNamespace(clock=clock, boundary=boundary, instruments=Instruments({}, (), 100, boundary))
    progress = TimeLeft(context, TRAINING_REMAINING, TRAINING_COMPLETION)
    progress.total = total
    return progress


def test_it_says_nothing_while_it_knows_nothing(clock):
    progress = time_left(clock, 10)
    assert progress.estimate() is None
    assert progress.completion.value() is None
    assert time_left(clock, None).estimate() is None


def test_a_steady_pace_gives_the_exact_answer(clock):
    progress = time_left(clock, 10)
    for done in range(1, 8):
        clock.advance(2)
        progress.update(done)
    assert progress.estimate() == pytest.approx(6)
    assert progress.completion.value() == pytest.approx(clock.time() + 6)


def test_recent_units_weigh_more(clock):
    progress = time_left(clock, 100)
    for done in range(1, 51):
        clock.advance(1 if done <= 25 else 10)
        progress.update(done)
    assert 9.5 * 50 < progress.estimate() < 10 * 50


def test_a_hung_worker_freezes_what_remains_and_the_completion_falls_behind(clock):
    progress = time_left(clock, 2)
    clock.advance(5)
    progress.update(1)
    before = progress.completion.value()
    clock.advance(3600)
    assert progress.estimate() == 5
    assert progress.completion.value() == pytest.approx(before)
    assert progress.completion.value() < clock.time()


def test_going_back_starts_the_estimate_anew(clock):
    progress = time_left(clock, 10)
    clock.advance(1)
    progress.update(5)
    progress.update(2)
    assert progress.estimate() is None
    clock.advance(4)
    progress.update(3)
    assert progress.estimate() == pytest.approx(28)


def test_a_clock_that_goes_back_starts_the_estimate_anew(clock, mocker):
    progress = time_left(clock, 10)
    clock.advance(100)
    progress.update(5)
    mocker.patch.object(clock, "monotonic", return_value=1.0)
    progress.update(6)
    assert progress.estimate() is None
    clock.monotonic.return_value = 3.0
    progress.update(7)
    assert progress.estimate() == pytest.approx(6)


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e6)), max_size=30), st.floats(0, 1e6))
def test_it_is_never_negative_and_never_nan(steps, total):
    clock = FakeClock()
    progress = time_left(clock, total)
    for seconds, done in steps:
        clock.advance(seconds)
        progress.update(done)
        remaining = progress.estimate()
        assert remaining is None or (remaining >= 0 and not math.isnan(remaining))
