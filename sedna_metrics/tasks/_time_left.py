"""The time left of a run: an exponentially weighted mean of its recent speed, and the gauges that expose it."""

from __future__ import annotations

from typing import Any, Optional

from sedna_metrics._boundary import ErrorBoundary, contained
from sedna_metrics.catalogue import Metric
from sedna_metrics.metrics import to_float
from sedna_metrics.tasks._context import TaskContext, length

NOT_WHOLE = "it must be a whole number of 0 or more"
_KEEP = 0.5 ** (1 / 3)  # the weight of a measured speed halves in three updates


class TimeLeft:
    """Exposes the time left, and when the run should end; there is no estimate while too little is known.

    The units are epochs, or if ``has_own_units`` the batches of one loop, or units of the script's own.
    """

    def __init__(self, context: TaskContext, remaining: Metric, completion: Metric) -> None:
        self._clock = context.clock
        self._boundary = context.boundary
        self._metric = remaining.name
        self.remaining = context.instruments.gauge(remaining)
        self.completion = context.instruments.gauge(completion)
        self.total: Optional[float] = None
        self.has_own_units = False
        self.begin(0.0)
        self.clear()  # the values of the last run

    def begin(self, done: float) -> None:
        """Measure from here: ``done`` units were done before, as after a resume from a checkpoint."""
        self.done = done
        self._last = self._clock.monotonic()
        self._seconds = self._units = 0.0

    def update(self, done: float) -> None:
        """Set how many units are done in all, and expose the estimate; going back starts it again."""
        now = self._clock.monotonic()
        units, seconds = done - self.done, now - self._last
        if units < 0 or seconds < 0:
            self.begin(done)
        elif units > 0:
            # Both decay alike, so that their quotient is a weighted mean of the time for one unit.
            self._seconds = self._seconds * _KEEP + seconds
            self._units = self._units * _KEEP + units
            self._last = now
            self.done = done
        remaining = self.estimate()
        if remaining is not None:
            self.remaining.set(remaining)
            self.completion.set(self._clock.time() - (now - self._last) + remaining)

    def estimate(self) -> Optional[float]:
        """Seconds left at the last update; ``None`` while unknown."""
        if self.total is None or self._units <= 0:
            return None
        return max(0.0, self.total - self.done) * self._seconds / self._units

    def begin_own_units(self, done: float = 0.0) -> None:
        """Measure from here in the script's own units."""
        self.has_own_units = True
        self.begin(done)
        self.clear()

    def progress(self, done: Any, total: Any) -> None:
        """Set how much is done in the script's own units; the first call is where the measurement begins."""
        amount, whole = self.amount(done), self.amount(total)
        if amount is None or whole is None:
            return
        self.total = whole
        if self.has_own_units:
            self.update(amount)
        else:
            self.begin_own_units(amount)

    def amount(self, value: Any) -> Optional[float]:
        """``value``, or ``None`` if it is rejected."""
        try:
            number = to_float(value)
        except Exception as why:  # a foreign object's __float__ may raise anything
            self._boundary.reject(self._metric, value, f"it is not a number ({type(why).__name__})")
            return None
        if not 0 <= number < float("inf"):
            self._boundary.reject(self._metric, value, "it must be a finite number of 0 or more")
            return None
        return number

    @contained()
    def count(self, batches: Any, total: Any) -> Optional[int]:
        """How many ``batches`` there are: ``total`` if it is a valid number, else their length, if they have one."""
        count = checked_number(total, self._metric, self._boundary)
        return length(batches) if count is None else count

    def finish(self) -> None:
        """The run has ended well."""
        self.remaining.set(0.0)
        self.completion.set(self._clock.time())

    def clear(self) -> None:
        """Expose nothing: the run has failed, or has only begun."""
        self.remaining.clear()
        self.completion.clear()


def checked_number(value: Any, metric: str, boundary: ErrorBoundary) -> Optional[int]:
    """As :func:`whole_number`; anything but ``None``, which means not given, is rejected if it is none."""
    number = whole_number(value)
    if number is None and value is not None:
        boundary.reject(metric, value, NOT_WHOLE)
    return number


def whole_number(value: Any) -> Optional[int]:
    """A number of epochs or batches: 3, ``np.int64(3)``, 3.0 or "3"; ``None`` for anything else."""
    try:
        number = float(value) if isinstance(value, str) else to_float(value)
        return int(number) if number >= 0 and number.is_integer() else None
    except Exception:  # a foreign object's __float__ may raise anything
        return None
