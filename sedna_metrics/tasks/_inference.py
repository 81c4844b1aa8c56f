"""Inference at a location, as every task kind that infers has it."""

from __future__ import annotations

import threading
from typing import Callable, Optional, Tuple

from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.metrics import CallHistogram, Counter
from sedna_metrics.tasks._context import TaskContext, reason


class InferenceLocation:
    """The series of one location, and the decorator that feeds them.

    Attributes:
        observe: decorator and context manager for inferences at this location.
        latency: what they came to.
    """

    def __init__(self, context: TaskContext, location: str) -> None:
        instruments = context.instruments
        self.calls: CallHistogram = instruments.call_histogram(metrics.DURATION, location=location)
        instruments.callback(metrics.INFERENCES, self.calls.finished, location=location)
        instruments.callback(metrics.ERRORS, self.calls.failed, location=location)
        instruments.callback(metrics.IN_PROGRESS, self.calls.in_progress, location=location)
        failures = FailureEvents(context, location, self.calls.failed)
        self.observe = Observation(self.calls, failures, context.clock.monotonic, context.boundary)


class FailureEvents:
    """Writes an event for an inference that raised, one a minute at most: a broken model fails at every frame.

    How many had none is told by the next event, and by a last one as the worker is closed.
    """

    INTERVAL_SECONDS = 60.0

    def __init__(self, context: TaskContext, location: str, failures: Callable[[], float]) -> None:
        self._context = context
        self._location = location
        self._failures = failures
        self._lock = threading.RLock()
        self._quiet_until = float("-inf")
        self._suppressed = 0
        self._last: Optional[Tuple[str, str]] = None
        self._tells_at_close = False

    def __call__(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            return  # an interrupt, an exit, a cancellation: not the inference's fault
        with self._context.boundary:
            now, said = self._context.clock.monotonic(), reason(error)  # the worker's own __str__: not under the lock
            with self._lock:
                if now < self._quiet_until:
                    self._suppressed += 1
                    self._last = (type(error).__name__, said)
                    return
                self._quiet_until = now + self.INTERVAL_SECONDS
                suppressed, self._suppressed = self._suppressed, 0
                if not self._tells_at_close:
                    self._tells_at_close = True
                    self._context.at_close(self._tell_the_rest)
            self._emit(type(error).__name__, said, suppressed, error)

    def _tell_the_rest(self) -> None:
        if self._suppressed and self._last is not None:
            suppressed, self._suppressed = self._suppressed, 0
            self._emit(*self._last, suppressed, None)

    def _emit(self, error: str, said: str, suppressed: int, exception: Optional[BaseException]) -> None:
        self._context.emit(
            "inference.failed",
            exception=exception,
            location=self._location,
            error=error,
            reason=said,
            failures=self._failures(),
            suppressed=suppressed,
        )


def samples_told_or_inferred(told: Counter, latency: CallHistogram) -> Callable[[], float]:
    """The number of samples: what the script tells, or the inferences as long as it has told nothing.

    A counter must not fall: what was shown before the script began to tell stays until it has told more.
    """
    shown = 0.0

    def read() -> float:
        nonlocal shown
        samples = told.value()
        if not samples:
            shown = latency.finished() + latency.failed()
        return max(samples, shown)

    return read
