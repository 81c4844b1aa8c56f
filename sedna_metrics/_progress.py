"""Estimates the time left of a piece of work, as an exponentially weighted mean of its recent speed.

Arithmetic over a given clock. There is no estimate while too little is known, and it is never negative or NaN.
"""

from __future__ import annotations

from typing import Any, Optional

from sedna_metrics._clock import Clock
from sedna_metrics.metrics import to_float

_KEEP = 0.5 ** (1 / 3)  # the weight of a measured speed halves in three updates


class Progress:
    """Progress of work that is ``total`` units long; without a total there is no estimate."""

    def __init__(self, clock: Clock, total: Optional[float]) -> None:
        self._clock = clock
        self.total = total
        self.begin(0.0)

    def begin(self, done: float) -> None:
        """Measure from here: ``done`` units were done before, as after a resume from a checkpoint."""
        self.done = done
        self._last = self._clock.monotonic()
        self._seconds = self._units = 0.0

    def update(self, done: Any, total: Any = None) -> None:
        """Set how many units are done in all; going back starts the estimate again. Invalid numbers: ValueError."""
        amount, whole = _amount(done), self.total if total is None else _amount(total)
        now = self._clock.monotonic()
        units, seconds = amount - self.done, now - self._last
        self.total = whole
        if units < 0 or seconds < 0:
            self.begin(amount)
        elif units > 0:
            # Both decay alike, so that their quotient is a weighted mean of the time for one unit.
            self._seconds = self._seconds * _KEEP + seconds
            self._units = self._units * _KEEP + units
            self._last = now
            self.done = amount

    def remaining_seconds(self) -> Optional[float]:
        """Time left at the last update; ``None`` while unknown."""
        if self.total is None or self._units <= 0:
            return None
        return max(0.0, self.total - self.done) * self._seconds / self._units

    def estimated_completion(self) -> Optional[float]:
        """Unix time at which the work should end; ``None`` while unknown."""
        remaining = self.remaining_seconds()
        if remaining is None:
            return None
        return self._clock.time() - (self._clock.monotonic() - self._last) + remaining


def _amount(value: Any) -> float:
    try:
        number = to_float(value)
    except Exception as why:  # a foreign object's __float__ may raise anything
        raise ValueError(f"it is not a number ({type(why).__name__})") from why
    if not 0 <= number < float("inf"):
        raise ValueError("it must be a finite number of 0 or more")
    return number
