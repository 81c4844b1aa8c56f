"""A clock for tests."""

from __future__ import annotations


class FakeClock:
    """Stands still until it is told otherwise. It is 22:13:20 UTC on 14 November 2023."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return self._seconds

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return 1_700_000_000.0 + self._seconds

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: it cannot go back.
        """
        if not seconds >= 0:
            raise ValueError(f"time does not go back, so that it cannot advance by {seconds!r} s")
        self._seconds += seconds
