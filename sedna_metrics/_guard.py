"""The failure boundary: what goes wrong inside the library at run time stays inside it.

Every call from the worker's code into ours that can fail for a reason of ours runs under a :class:`Guard`. A failure is
counted (``sedna_metrics_internal_errors_total``), logged at most once a minute, and forgotten. ``Exception`` is caught,
never ``BaseException``: an interrupt or an exit belongs to the worker.
"""

from __future__ import annotations

import logging
import reprlib
import sys
import threading
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Callable, ContextManager, Iterator, Optional, Type, TypeVar

from sedna_metrics._clock import Clock, SystemClock

T = TypeVar("T")
LOG_INTERVAL_SECONDS = 60.0

_SHORT = reprlib.Repr()  # a data set handed in as a loss must not be written out whole
_SHORT.maxstring = _SHORT.maxother = 200


class Guard:
    """Counts and logs what the library swallows.

    Use it as a context manager around code of ours; the body's ``Exception`` does not leave it.
    """

    def __init__(self, clock: Optional[Clock] = None, logger: Optional[logging.Logger] = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._logger = logger or logging.getLogger("sedna_metrics")
        self._lock = threading.RLock()
        self._errors = 0
        self._rejected = 0
        self._quiet_until = float("-inf")
        self._suppressed = 0

    def errors(self) -> float:
        """How many failures of ours were swallowed."""
        return float(self._errors)

    def rejected(self) -> float:
        """How many values were refused because they could not be what their metric says."""
        return float(self._rejected)

    def merge(self, errors: int, rejected: int) -> None:
        """Add what the guard of another process of this worker counted."""
        with self._lock:
            self._errors += errors
            self._rejected += rejected

    def renew_lock(self) -> None:
        """In a forked child: forget a lock that a thread of the parent's may have held as it forked."""
        self._lock = threading.RLock()

    def swallow(self, error: Exception) -> None:
        """Note a failure of ours: count it, log it unless one was logged within the last minute."""
        with self._lock:
            self._errors += 1
        with suppress(Exception):  # a logging handler of the worker's may raise; it is counted
            self._warn(
                lambda: f"sedna-metrics failed inside ({type(error).__name__}: {error}); the worker is not affected"
            )

    def reject(self, name: str, value: object, why: str) -> None:
        """Note a value of the worker's that cannot be recorded; the last good value stays.

        Args:
            name: the metric that would have taken it.
            value: what was handed in.
            why: what the metric takes, as the end of a sentence.
        """
        with self._lock:
            self._rejected += 1
        with suppress(Exception):  # a logging handler of the worker's may raise, or the value's own __repr__
            self._warn(lambda: f"{name}: {_SHORT.repr(value)} is refused: {why}; the last good value stays")

    def _warn(self, say: Callable[[], str]) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if now < self._quiet_until:
                self._suppressed += 1
                return
            self._quiet_until = now + LOG_INTERVAL_SECONDS
            suppressed, self._suppressed = self._suppressed, 0
        more = f" (and {suppressed} more since the last such line)" if suppressed else ""
        self._logger.warning("%s%s", say(), more, exc_info=self._logger.isEnabledFor(logging.DEBUG))

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> bool:
        if isinstance(error, Exception):
            self.swallow(error)
            return True
        return False


@contextmanager
def guarded(guard: Guard, block: Callable[[], ContextManager[T]]) -> Iterator[Optional[T]]:
    """A block of ours around code of the worker's: what fails inside ours does not reach the body.

    Args:
        guard: takes what fails.
        block: gives the block to enter; what it gives on entering is given here, or ``None`` where it failed.
    """
    entered: Optional[ContextManager[T]] = None
    value: Optional[T] = None
    with guard:
        made = block()
        value = made.__enter__()
        entered = made
    try:
        yield value
    except BaseException:
        if entered is not None:
            with guard:
                entered.__exit__(*sys.exc_info())
        raise
    if entered is not None:
        with guard:
            entered.__exit__(None, None, None)
