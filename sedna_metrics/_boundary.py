"""The error boundary: failures of the library are counted and logged here, and never reach the worker's code.

The public surface (decorators, methods of tasks and of the worker, hooks) is wrapped by :func:`contained`; code in
between raises as usual. ``Exception`` is caught, never ``BaseException``: interrupts and exits belong to the worker.
"""

from __future__ import annotations

import functools
import logging
import reprlib
import threading
from contextlib import suppress
from typing import Any, Callable, Dict, Optional, Tuple, TypeVar

from sedna_metrics._clock import Clock, SystemClock

F = TypeVar("F", bound=Callable[..., Any])
LOG_INTERVAL_SECONDS = 60.0

_LOGGER = logging.getLogger("sedna_metrics")
_SHORT = reprlib.Repr()  # a dataset passed as a loss must not be written to the log in full
_SHORT.maxstring = _SHORT.maxother = 200


class ErrorBoundary:
    """Counts and logs failures of the library.

    As a context manager it catches the body's ``Exception``. A warning is logged at most once a minute for each metric;
    the next one says how many were left out.
    """

    def __init__(self, clock: Optional[Clock] = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._errors = 0
        self._rejected = 0
        self._quiet: Dict[str, Tuple[float, int]] = {}
        """Until when nothing is logged for a metric, and how many warnings were left out."""

    def errors(self) -> float:
        """Number of failures caught."""
        return float(self._errors)

    def rejected(self) -> float:
        """Number of invalid values rejected."""
        return float(self._rejected)

    def add(self, errors: int, rejected: int) -> None:
        """Add the counts of a child process."""
        with self._lock:
            self._errors += errors
            self._rejected += rejected

    def renew_lock(self) -> None:
        """In a forked child: replace the lock, which a thread of the parent may have held during the fork."""
        self._lock = threading.RLock()

    def record(self, error: Exception) -> None:
        """Count a failure of the library, and log it."""
        with self._lock:
            self._errors += 1
        self._warn("", lambda: f"sedna-metrics failed internally ({type(error).__name__}: {error}); the worker goes on")

    def reject(self, name: str, value: object, why: str) -> None:
        """Count an invalid value of a metric, and log ``why``; the metric keeps its last valid value."""
        with self._lock:
            self._rejected += 1
        self._warn(name, lambda: f"{name}: invalid value {_SHORT.repr(value)}: {why}; the last valid value is kept")

    def _warn(self, name: str, message: Callable[[], str]) -> None:
        with suppress(Exception):  # a logging handler, the clock, or the value's __repr__ failed: it is counted
            now = self._clock.monotonic()
            with self._lock:
                until, suppressed = self._quiet.get(name, (now, 0))
                if now < until:
                    self._quiet[name] = (until, suppressed + 1)
                    return
                self._quiet[name] = (now + LOG_INTERVAL_SECONDS, 0)
            _LOGGER.disabled = False  # logging.config.dictConfig disables existing loggers by default
            more = f" (and {suppressed} more since the last such warning)" if suppressed else ""
            _LOGGER.warning("%s%s", message(), more, exc_info=_LOGGER.isEnabledFor(logging.DEBUG))

    def __enter__(self) -> ErrorBoundary:
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> bool:
        if isinstance(error, Exception):
            self.record(error)
            return True
        return False


def contained(fallback: Callable[..., Any] = lambda *_, **__: None) -> Callable[[F], F]:
    """Decorate a public method: its failures go to ``self._boundary``, and it returns ``fallback(*arguments)`` then.

    Arguments that do not fit the method's signature still raise TypeError: that is a mistake in the caller's code.
    """

    def decorate(method: F) -> F:
        @functools.wraps(method)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, *args, **kwargs)
            except Exception as error:
                if isinstance(error, TypeError) and error.__traceback__ is not None and not error.__traceback__.tb_next:
                    raise  # raised by the call itself, not in the method's body
                self._boundary.record(error)
                return fallback(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate
