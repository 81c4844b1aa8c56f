"""Inference, as every kind of task that infers has it."""

from __future__ import annotations

from typing import Callable, Optional, Tuple

from sedna_metrics._compat import cached_property
from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.errors import describe
from sedna_metrics.metrics import CallHistogram
from sedna_metrics.tasks._context import TaskContext


class InferenceTask:
    """A task that infers."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._boundary = context.boundary

    @cached_property
    def _edge(self) -> InferenceLocation:
        return InferenceLocation(self._context, "edge")


class InferenceLocation:
    """The calls of one location, and the decorator and context manager that observes them."""

    def __init__(self, context: TaskContext, location: str) -> None:
        if location == "served":
            self.calls = context.instruments.calls(metrics.SERVED_CALLS)
        else:
            self.calls = context.instruments.calls(metrics.INFERENCE_CALLS, location=location)
        failures = FailureEvents(context, location, self.calls.failed)
        self.observe = Observation(self.calls, failures, context.clock.monotonic, context.boundary)


class FailureEvents:
    """Writes an event for a failed inference, at most one a minute: a broken model fails at every frame.

    The next event, and a last one when the worker closes, say how many were left out.
    """

    INTERVAL_SECONDS = 60.0

    def __init__(self, context: TaskContext, location: str, failures: Callable[[], float]) -> None:
        self._context = context
        self._location = location
        self._failures = failures
        self._quiet_until = float("-inf")
        self._suppressed = 0
        self._last: Optional[Tuple[str, str]] = None

    def __call__(self, error: Exception) -> None:
        # Without a lock: two threads at once may write two events, which does no harm.
        now = self._context.clock.monotonic()
        self._last, is_first = (type(error).__name__, describe(error)), self._last is None
        if now < self._quiet_until:
            self._suppressed += 1
            return
        self._quiet_until = now + self.INTERVAL_SECONDS
        if is_first:
            self._context.at_close(self._write_rest)
        self._write(*self._last, error)

    def _write_rest(self) -> None:
        if self._suppressed and self._last is not None:
            self._write(*self._last, None)

    def _write(self, error: str, why: str, exception: Optional[BaseException]) -> None:
        suppressed, self._suppressed = self._suppressed, 0
        self._context.emit(
            "inference.failed",
            exception=exception,
            location=self._location,
            error=error,
            reason=why,
            failures=self._failures(),
            suppressed=suppressed,
        )


def count_samples(context: TaskContext, calls: CallHistogram) -> Callable[..., None]:
    """Expose the number of samples, or of inferences while there are none; returns what counts a sample."""
    counted = context.instruments.internal_counter(metrics.SAMPLES)
    shown = 0.0

    def read() -> float:
        nonlocal shown  # a counter must not fall when the script begins to count
        samples = counted.value()
        if not samples:
            shown = calls.finished() + calls.failed()
        return max(samples, shown)

    context.instruments.callback(metrics.SAMPLES, read)
    return counted.inc
