"""A clock for tests."""

from __future__ import annotations


class FakeClock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def monotonic(self) -> float:
        return self._seconds

    def time(self) -> float:
        return 1_700_000_000.0 + self._seconds

    def advance(self, seconds: float) -> None:
        assert seconds >= 0
        self._seconds += seconds
