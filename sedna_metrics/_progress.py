"""How long work will still take: an exponentially weighted estimate over what has been done so far.

Pure arithmetic over an injected clock. It says nothing rather than nonsense while it knows too little, and what it says
is never negative and never NaN.
"""

from __future__ import annotations

from typing import Any, Optional

from sedna_metrics._clock import Clock
from sedna_metrics.metrics import to_float

HALF_LIFE_UPDATES = 3.0
"""After so many updates the weight of a measured speed has halved: recent epochs tell more than the first."""

_KEEP = 0.5 ** (1 / HALF_LIFE_UPDATES)


class Progress:
    """Progress of one piece of work that is ``total`` units long.

    Args:
        clock: gives the time.
        total: units in all (epochs, batches, samples); ``None`` where that is not known, and then nothing is estimated.
        done: units that were done before: they tell nothing of the speed.
    """

    def __init__(self, clock: Clock, total: Optional[float], done: float = 0.0) -> None:
        self._clock = clock
        self._total = total
        self._done = done
        self._last = clock.monotonic()
        self._seconds = 0.0
        self._units = 0.0

    @property
    def done(self) -> float:
        """Units done so far."""
        return self._done

    @property
    def total(self) -> Optional[float]:
        """Units in all, where known."""
        return self._total

    def update(self, done: Any, total: Any = None) -> None:
        """Say how many units are done in all; going back (a restart from a checkpoint) starts the estimate anew.

        Raises:
            ValueError: one of the two is no finite number of 0 or more; then nothing has changed.
        """
        done, total = _amount(done), self._total if total is None else _amount(total)
        now = self._clock.monotonic()
        units, seconds = done - self._done, now - self._last
        self._done, self._total = done, total
        if units < 0 or seconds < 0:
            self._seconds = self._units = 0.0
            self._last = now
        elif units > 0:
            # Both are forgotten at the same pace, so that their quotient is a weighted mean of the time for one unit.
            self._seconds = self._seconds * _KEEP + seconds
            self._units = self._units * _KEEP + units
            self._last = now

    def remaining_seconds(self) -> Optional[float]:
        """Time still to go after the last update; ``None`` while that is not known."""
        if self._total is None or self._units <= 0:
            return None
        return max(0.0, self._total - self._done) * self._seconds / self._units

    def estimated_completion(self) -> Optional[float]:
        """Unix time at which the work should end; ``None`` while that is not known."""
        remaining = self.remaining_seconds()
        if remaining is None:
            return None
        return self._clock.time() - (self._clock.monotonic() - self._last) + remaining


def _amount(value: Any) -> float:
    try:
        number = to_float(value)
    except Exception as why:
        # A foreign object's __float__ may raise anything.
        raise ValueError(f"it is no number ({type(why).__name__})") from why
    if not 0 <= number < float("inf"):
        raise ValueError("it must be a finite number of 0 or more")
    return number
