"""Counters, gauges and histograms, as the worker's threads update them.

Updating takes no lock in the common case. It rests on three operations that CPython does in one step, so that no update
is lost between threads: ``next()`` of an ``itertools.count``, ``list.append`` and assignment. Durations are sorted into
buckets later: when somebody reads them, or every :data:`FLUSH_EVERY` calls.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from itertools import count
from math import isfinite
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from sedna_metrics.metrics._text import label_value

FLUSH_EVERY = 256
"""Calls between two sortings, a power of two. The call that sorts takes some 15 us."""

MAX_AMOUNT = 2**53
"""Largest increment of a counter: a float does not tell larger whole numbers apart."""

Reject = Callable[[object, str], None]
"""Called with an invalid value and with what the metric accepts."""

_ONE: Any = object()  # not None: a miner that forgot its return statement gives that
_MAX_DEPTH = 8


def to_float(value: Any) -> float:
    """The number in an int, float, numpy scalar, one-element array or tensor; TypeError or ValueError for others."""
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError("text is not a number")
    item = getattr(value, "item", None)  # numpy, PyTorch, TensorFlow, pandas: the one element as a Python number
    return float(item() if callable(item) else value)


def last_of(value: Any) -> float:
    """:func:`to_float` of a history's last value, or of the value itself."""
    for _ in range(_MAX_DEPTH):
        if not _is_many(value):
            return to_float(value)
        value = value[-1]
    raise ValueError("lists are nested too deeply")


def mean_of(value: Any) -> float:
    """:func:`to_float` of the mean of scores by class, or of the value itself."""
    if not _is_many(value):
        return to_float(value)
    values = [mean_of(item) for item in value]
    if not values:
        raise ValueError("an empty list has no mean")
    return sum(values) / len(values)


def _is_many(value: Any) -> bool:
    if isinstance(value, (list, tuple, deque)):
        return True
    dimensions = getattr(value, "ndim", None)  # a mock has one too, and it is a mock
    return isinstance(dimensions, int) and dimensions > 0


class Tally:
    """A number that threads and signal handlers increase by one, without a lock; ``add()`` returns the new number."""

    __slots__ = ("_count", "add")

    def __init__(self) -> None:
        self._count = count(1)
        self.add: Callable[[], int] = self._count.__next__

    def value(self) -> int:
        # An itertools.count shows its next number in its repr only; next() would take it.
        return int(repr(self._count)[len("count(") : -1]) - 1


class Counter:
    """A number that only increases."""

    __slots__ = ("_add_one", "_amounts", "_folding", "_ones", "_reject")

    def __init__(self, reject: Reject) -> None:
        self._reject = reject
        self._ones = Tally()
        self._add_one = self._ones.add
        self._amounts = [0]
        self._folding = threading.Lock()

    def inc(self, amount: Any = _ONE) -> None:
        """Add ``amount``, a whole number of 0 or more (a bool counts as 0 or 1); 1 by default."""
        if amount is _ONE or amount is True:
            self._add_one()
            return
        try:
            whole = int(to_float(amount))
            is_valid = bool(0 <= whole <= MAX_AMOUNT and whole == amount)
        except Exception:  # a foreign object's __float__ may raise anything: it is not a number
            is_valid = False
        if not is_valid:
            self._reject(amount, "a counter takes a whole number of 0 or more")
            return
        self._amounts.append(whole)
        if len(self._amounts) > FLUSH_EVERY and self._folding.acquire(False):
            try:
                amounts = self._amounts[:]
                self._amounts[: len(amounts)] = [sum(amounts)]  # what was appended since stays behind it
            finally:
                self._folding.release()

    def value(self) -> float:
        return float(self._ones.value() + sum(self._amounts[:]))

    def renew_lock(self) -> None:
        """In a forked child: replace the lock, which a thread of the parent may have held."""
        self._folding = threading.Lock()


class Gauge:
    """The latest value; there is no series before the first."""

    __slots__ = ("_convert", "_is_bounded", "_minimum", "_on_nonfinite", "_reject", "_value")

    def __init__(
        self,
        reject: Reject,
        minimum: float = float("-inf"),
        convert: Callable[[Any], float] = to_float,
        on_nonfinite: Optional[Callable[[], None]] = None,
    ) -> None:
        self._reject = reject
        self._minimum = minimum
        self._is_bounded = minimum != float("-inf")
        self._convert = convert
        self._on_nonfinite = on_nonfinite
        self._value: Optional[float] = None

    def set(self, value: Any) -> None:
        """Take anything that ``convert`` makes a number of."""
        # x - x is 0 for finite numbers only.
        if type(value) is float and value - value == 0.0 and not self._is_bounded:
            self._value = value
            return
        try:
            number = self._convert(value)
        except Exception as why:  # a foreign object's __float__ may raise anything
            self._reject(value, f"it is not a number ({type(why).__name__})")
            return
        if self._is_bounded and not self._minimum <= number < float("inf"):
            self._reject(value, f"it must be a finite number of {self._minimum:g} or more")
            return
        if self._on_nonfinite is not None and not isfinite(number):
            self._on_nonfinite()
        self._value = number

    def restore(self, value: Optional[float]) -> None:
        """Take a value of another gauge of this metric, which has been checked."""
        self._value = value

    def clear(self) -> None:
        self._value = None

    def value(self) -> Optional[float]:
        return self._value


class HistogramValue(NamedTuple):
    counts: Tuple[int, ...]
    """Observations in each bucket, not cumulative; one more than there are bounds, the last for +Inf."""
    sum: float


class CallHistogram:
    """Durations of calls, and how many calls began, finished, failed and were cancelled.

    The hot path appends durations to a list whose first item is the histogram of all durations sorted before. Copying
    the list is one step, so a reader always sees a histogram and durations that belong together.

    ``start()`` returns the number of the call; at each multiple of :data:`FLUSH_EVERY`, call :meth:`flush_pending`. The
    call ends with ``finish(seconds)``, ``fail()`` or ``cancel()``, which is neither success nor error.
    """

    def __init__(self, bounds: Sequence[float], reject: Reject) -> None:
        self.bounds = tuple(bounds)
        self._reject = reject
        empty = HistogramValue((0,) * (len(self.bounds) + 1), 0.0)
        self._pending: List[Any] = [empty]
        self._merged_started = self._merged_failed = 0
        self._merged = empty
        self._starts, self._errors, self._cancelled = Tally(), Tally(), Tally()
        self._flushing = threading.Lock()
        self.start: Callable[[], int] = self._starts.add
        self.finish: Callable[[float], None] = self._pending.append
        self.fail: Callable[[], Any] = self._errors.add
        self.cancel: Callable[[], Any] = self._cancelled.add

    def observe(self, seconds: Any) -> None:
        """Record a duration that was measured elsewhere, as one call that began and finished."""
        try:
            duration = to_float(seconds)
        except Exception as why:  # a foreign object's __float__ may raise anything
            self._reject(seconds, f"it is not a number ({type(why).__name__})")
            return
        if not 0 <= duration < float("inf"):
            self._reject(seconds, "a duration is a finite number of seconds of 0 or more")
            return
        if not self.start() % FLUSH_EVERY:
            self.flush_pending()
        self.finish(duration)

    def flush_pending(self) -> None:
        """Sort the pending durations into the buckets, unless another thread is doing it. Never waits."""
        if self._flushing.acquire(False):
            try:
                chunk = self._pending[:]
                self._pending[: len(chunk)] = [self._sorted(chunk)]  # what was appended since stays behind it
            finally:
                self._flushing.release()

    def _sorted(self, chunk: List[Any]) -> HistogramValue:
        """The histogram at the head of ``chunk`` together with the durations behind it."""
        known: HistogramValue = chunk[0]
        durations = sorted(chunk[1:])
        counts, done = list(known.counts), 0
        for index, bound in enumerate(self.bounds):
            if done == len(durations):
                break
            upto = bisect_right(durations, bound, done)
            counts[index] += upto - done
            done = upto
        counts[-1] += len(durations) - done
        return HistogramValue(tuple(counts), known.sum + sum(durations))

    def histogram(self) -> HistogramValue:
        self.flush_pending()
        return _plus(self._sorted(self._pending[:]), self._merged)

    def finished(self) -> float:
        """Number of calls that ended well: the histogram's count."""
        chunk = self._pending[:]
        return float(sum(chunk[0].counts) + len(chunk) - 1 + sum(self._merged.counts))

    def failed(self) -> float:
        return float(self._errors.value() + self._merged_failed)

    def started(self) -> float:
        """Number of calls that began, without the cancelled ones."""
        return float(self._starts.value() + self._merged_started - self._cancelled.value())

    def in_progress(self) -> float:
        """Number of calls that have begun and not ended."""
        # What ended is read first: a call that begins and ends in between shows as in progress, never as -1.
        ended = self.finished() + self.failed()
        return self.started() - ended

    def merge(self, started: int, failed: int, counts: Sequence[int], seconds: float) -> None:
        """Add the calls of a child process; one thread at a time may do so.

        ``counts`` are the finished calls by bucket, not cumulative; a negative ``started`` takes some back.
        """
        self._merged_started += started  # first, as in_progress() reads it last
        self._merged_failed += failed
        if counts:
            self._merged = _plus(self._merged, HistogramValue(tuple(counts), seconds))

    def renew_lock(self) -> None:
        """In a forked child: replace the lock, which a thread of the parent may have held."""
        self._flushing = threading.Lock()


def _plus(one: HistogramValue, other: HistogramValue) -> HistogramValue:
    return HistogramValue(tuple(map(sum, zip(one.counts, other.counts))), one.sum + other.sum)


class State:
    """One of a fixed set of states; there is no series before the first is set."""

    def __init__(self, states: Tuple[str, ...], reject: Reject) -> None:
        self.states = states
        self.current: Optional[str] = None
        self._reject = reject

    def set(self, state: str) -> None:
        if isinstance(state, str) and state in self.states:
            self.current = state
        else:
            self._reject(state, f"it must be one of {', '.join(self.states)}")


class Info:
    """Text, exposed as the labels of series that are always 1: the latest, of at most ``limit`` label sets."""

    def __init__(self, limit: int, on_overflow: Callable[[], None]) -> None:
        self._limit = limit
        self._on_overflow = on_overflow
        self.label_sets: Tuple[Dict[str, str], ...] = ()

    def set(self, *label_sets: Dict[str, str]) -> None:
        """Expose these label sets, one series each, instead of the last ones."""
        for _ in label_sets[self._limit :]:
            self._on_overflow()
        self.label_sets = tuple(
            {name: label_value(value) for name, value in label_set.items()} for label_set in label_sets[: self._limit]
        )
