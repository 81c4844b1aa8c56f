"""Cells: what the worker's own threads write to.

The hot path takes no lock and looks nothing up. It rests on three operations that CPython does in one step, so that
threads, signal handlers and scrapes can meet in them without losing an update: ``next()`` of an ``itertools.count``,
``list.append``, and an assignment. What costs time, sorting durations into buckets, happens when somebody looks, or
every :data:`FOLD_EVERY` calls.

Update functions are closures, kept in instance attributes: a closure's cell is reached in one bytecode, ``self.x`` in
three (measured: docs/performance.md).
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from itertools import count
from math import fsum, isfinite
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from sedna_metrics.metrics._text import label_value

FOLD_EVERY = 256
"""Calls between two foldings; a power of two. Small enough that the call that folds is not felt (some 15 us)."""

MAX_AMOUNT = 2**53
"""Most that a counter takes at once: above it a float does not tell whole numbers apart."""

_ONE: Any = object()  # not None: that is what a miner gives that forgot to return its answer
_SEQUENCES = (list, tuple, deque)
_MAX_DEPTH = 8


def _peek(counter: count[int]) -> int:
    # There is no other way to read an itertools.count without advancing it: its pickling support, which would tell as
    # well, ends with Python 3.13. repr() is "count(41)" in every version.
    return int(repr(counter)[6:-1])


def to_float(value: Any) -> float:
    """A number from what frameworks hand out: int, float, numpy scalar, one-element array or tensor.

    Raises:
        TypeError: text, None or something else that is no number.
        ValueError: an array of several elements.
    """
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError("text is no number")
    item = getattr(value, "item", None)  # numpy, PyTorch, TensorFlow, pandas: the one element as a Python number
    return float(item() if callable(item) else value)


def last_of(value: Any) -> float:
    """:func:`to_float` of a history's last value, or of the value itself."""
    for _ in range(_MAX_DEPTH):
        if not _is_many(value):
            return to_float(value)
        value = value[-1]
    raise ValueError("a history within a history, without end")


def _is_many(value: Any) -> bool:
    if isinstance(value, _SEQUENCES):
        return True
    dimensions = getattr(value, "ndim", None)  # a mock has one too, and it is a mock
    return isinstance(dimensions, int) and dimensions > 0


def mean_of(value: Any) -> float:
    """:func:`to_float` of the mean of scores by class, or of the value itself."""
    if _is_many(value):
        values = [mean_of(item) for item in value]
        if not values:
            raise ValueError("an empty list has no mean")
        return fsum(values) / len(values) if all(map(isfinite, values)) else sum(values) / len(values)
    return to_float(value)


class Counter:
    """Only ever rises.

    Attributes:
        inc: ``inc()`` adds one; ``inc(n)`` adds ``n``, a whole number of 0 or more (a bool is one, numpy's too).
    """

    __slots__ = ("inc", "value")

    inc: Callable[..., None]
    value: Callable[[], float]

    def __init__(self, reject: Callable[[object, str], None]) -> None:
        ones = count()
        more: List[int] = []
        folding = threading.Lock()

        def inc(amount: Any = _ONE, next: Callable[..., Any] = next) -> None:
            if amount is _ONE or amount is True:
                next(ones)
                return
            if amount is False:
                return
            try:
                whole = int(to_float(amount))
                good = bool(0 <= whole <= MAX_AMOUNT and whole == amount)
            except Exception:
                # A foreign object's __float__ may raise anything; whatever it is, there is nothing to count.
                good = False
            if not good:
                reject(amount, "a counter takes a whole number of 0 or more")
            elif whole <= 64:
                for _ in range(whole):
                    next(ones)
            else:
                more.append(whole)
                if len(more) > FOLD_EVERY:
                    fold()

        def fold() -> None:
            # Never waits: a signal handler of the worker's may have interrupted this very function.
            if folding.acquire(False):
                try:
                    chunk = more[:]
                    more[: len(chunk)] = [sum(chunk)]
                finally:
                    folding.release()

        def value() -> float:
            return float(_peek(ones) + sum(more[:]))

        self.inc = inc
        self.value = value


class Gauge:
    """The latest value; without one there is no series.

    Attributes:
        set: takes anything that ``convert`` makes a number of.
        assign: takes a float that another process's gauge has accepted already.
        clear: takes the series away.
    """

    __slots__ = ("assign", "clear", "set", "value")

    set: Callable[[Any], None]
    assign: Callable[[float], None]
    clear: Callable[[], None]
    value: Callable[[], Optional[float]]

    def __init__(
        self,
        reject: Callable[[object, str], None],
        minimum: float = float("-inf"),
        convert: Callable[[Any], float] = to_float,
        on_nonfinite: Optional[Callable[[], None]] = None,
    ) -> None:
        latest: Optional[float] = None
        bounded = minimum != float("-inf")

        def set_(value: Any) -> None:
            nonlocal latest
            # x - x is 0 for a finite number alone: the one test that a NaN and both infinities fail.
            if type(value) is float and value - value == 0.0 and not bounded:
                latest = value
                return
            wrong = ""
            try:
                number = convert(value)
                if bounded and not minimum <= number < float("inf"):
                    wrong = f"it must be a finite number of {minimum:g} or more"
                elif on_nonfinite is not None and not isfinite(number):
                    on_nonfinite()
            except Exception as why:
                # A foreign object's __float__ may raise anything; whatever it is, there is no number to keep.
                wrong = f"it is no number ({type(why).__name__})"
            if wrong:
                reject(value, wrong)
            else:
                latest = number

        def clear() -> None:
            nonlocal latest
            latest = None

        def assign(value: float) -> None:
            nonlocal latest
            latest = value

        self.set = set_
        self.assign = assign
        self.clear = clear
        self.value = lambda: latest


class HistogramValue(NamedTuple):
    """A histogram at one moment: its parts belong together."""

    counts: Tuple[int, ...]
    """Observations in each bucket, not cumulated; one more than there are bounds, the last for +Inf."""
    sum: float


class CallHistogram:
    """Durations, and with them how many calls began, finished and failed: one append tells all of it.

    The first item of the list that durations are appended to is the histogram of all that were sorted so far. Whoever
    copies the list, which is one step, has a histogram whose parts belong together, and putting another one in place of
    what it was made of is one step again: readers need no lock, not even a signal handler that interrupted a folding.

    Attributes:
        start: call as the work begins; gives the number of the call, from 1. When it is a multiple of
            :data:`FOLD_EVERY`, call :meth:`fold`.
        finish: call with the seconds that the work took, as it ends well.
        fail: call as the work ends by an exception.
        abandon: call as the work ends without a result that is its own doing: cancelled, interrupted, closed.
    """

    __slots__ = (
        "_abandoned",
        "_bounds",
        "_elsewhere_failed",
        "_elsewhere_started",
        "_failed",
        "_folding",
        "_pending",
        "_started",
        "abandon",
        "fail",
        "finish",
        "start",
    )

    start: Callable[[], int]
    finish: Callable[[float], None]
    fail: Callable[[], int]
    abandon: Callable[[], int]

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._folding = threading.Lock()
        self._pending: List[Any] = [HistogramValue((0,) * (len(self._bounds) + 1), 0.0)]
        self._started = count(1)
        self._failed = count(1)
        self._abandoned = count(1)
        self._elsewhere_started = self._elsewhere_failed = 0
        self.start = self._started.__next__
        self.fail = self._failed.__next__
        self.abandon = self._abandoned.__next__
        self.finish = self._pending.append

    def fold(self) -> None:
        """Sort what is pending into the buckets, unless another thread is at it.

        Never waits: it is called on the hot path, and in a signal handler that interrupted itself.
        """
        if self._folding.acquire(False):
            try:
                self._replace(self._sorted)
            finally:
                self._folding.release()

    def _replace(self, sort: Callable[[List[Any]], HistogramValue]) -> None:
        chunk = self._pending[:]
        # Appends may come between these two lines; they land behind what is replaced.
        self._pending[: len(chunk)] = [sort(chunk)]

    def _sorted(self, chunk: List[Any]) -> HistogramValue:
        """The histogram at the head of ``chunk`` and the durations behind it."""
        known, durations = chunk[0], chunk[1:]
        if not durations:
            return known  # type: ignore[no-any-return]
        durations.sort()
        counts, done, total = list(known.counts), 0, len(durations)
        for index, bound in enumerate(self._bounds):
            upto = bisect_right(durations, bound, done)
            if upto != done:
                counts[index] += upto - done
                done = upto
                if done == total:
                    break
        counts[-1] += total - done
        return HistogramValue(tuple(counts), known.sum + sum(durations))

    def histogram(self) -> HistogramValue:
        """All durations so far."""
        self.fold()
        return self._sorted(self._pending[:])

    def finished(self) -> float:
        """Calls that ended well: the histogram's count, so that the two never disagree for long."""
        chunk = self._pending[:]
        return float(sum(chunk[0].counts) + len(chunk) - 1)

    def failed(self) -> float:
        """Calls that raised."""
        return float(_peek(self._failed) - 1 + self._elsewhere_failed)

    def in_progress(self) -> float:
        """Calls that began and have not ended in any way."""
        # What ended is read first: a call that begins and ends in between then shows as under way, never as -1.
        ended = self.finished() + self.failed()
        return self.started() - ended

    def started(self) -> float:
        """Calls that began, without those that were abandoned."""
        abandoned = _peek(self._abandoned) - 1
        return float(_peek(self._started) - 1 - abandoned + self._elsewhere_started)

    def merge(self, started: int, failed: int, counts: Sequence[int], seconds: float) -> None:
        """Add what another process observed.

        Args:
            started: calls that began there and were not abandoned; negative to take some back.
            failed: those that raised.
            counts: those that finished, by bucket (not cumulated; the same bounds as here).
            seconds: how long these took together.
        """

        def add(chunk: List[Any]) -> HistogramValue:
            ours = self._sorted(chunk)
            theirs = (*counts, *(0,) * (len(ours.counts) - len(counts)))
            return HistogramValue(tuple(map(sum, zip(ours.counts, theirs))), ours.sum + seconds)

        self._elsewhere_started += started
        if any(counts):
            with self._folding:
                self._replace(add)
        self._elsewhere_failed += failed

    def renew_lock(self) -> None:
        """In a forked child: forget a lock that a thread of the parent's may have held as it forked."""
        self._folding = threading.Lock()

    def observe(self, seconds: float) -> None:
        """Record a duration that was measured elsewhere, as one call that began and finished."""
        if not self.start() % FOLD_EVERY:
            self.fold()
        self.finish(seconds)


class State:
    """One of a fixed set of states; without one there is no series."""

    __slots__ = ("_reject", "current", "states")

    def __init__(self, states: Tuple[str, ...], reject: Callable[[object, str], None]) -> None:
        self.states = states
        self.current: Optional[str] = None
        self._reject = reject

    def set(self, state: str) -> None:
        """Go to ``state``."""
        if isinstance(state, str) and state in self.states:
            self.current = state
        else:
            self._reject(state, f"it must be one of {', '.join(self.states)}")


class Info:
    """Text that is shown as labels of a series that is always 1; only the latest is there.

    Args:
        limit: how many label sets there may be.
        on_overflow: called for each one above.
    """

    __slots__ = ("_limit", "_on_overflow", "label_sets")

    def __init__(self, limit: int, on_overflow: Callable[[], None]) -> None:
        self._limit = limit
        self._on_overflow = on_overflow
        self.label_sets: Tuple[Dict[str, str], ...] = ()

    def set(self, *label_sets: Dict[str, str]) -> None:
        """Show these label sets, one series each, instead of the last ones; none where none is given."""
        for _ in label_sets[self._limit :]:
            self._on_overflow()
        self.label_sets = tuple(
            {name: label_value(value) for name, value in label_set.items()} for label_set in label_sets[: self._limit]
        )
