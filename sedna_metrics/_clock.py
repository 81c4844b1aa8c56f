"""A clock that can be replaced: the tests' clock moves only when they advance it."""

from __future__ import annotations

import time

from sedna_metrics._compat import Protocol


class Clock(Protocol):
    """Two readings, both in seconds."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    def time(self) -> float:
        """Seconds since the Unix epoch; may jump when the machine's clock is set."""


class SystemClock:
    """The real thing."""

    monotonic = staticmethod(time.perf_counter)
    time = staticmethod(time.time)
