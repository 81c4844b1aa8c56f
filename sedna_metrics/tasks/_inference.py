"""Inference at a location, as every task kind that infers has it."""

from __future__ import annotations

from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.instruments import Latency
from sedna_metrics.tasks._context import TaskContext


class InferenceLocation:
    """The series of one location, and the decorator that feeds them.

    Attributes:
        observe: decorator and context manager for inferences at this location.
        latency: what they came to.
    """

    def __init__(self, context: TaskContext, location: str) -> None:
        instruments = context.instruments
        self.latency: Latency = instruments.latency(metrics.DURATION, location=location)
        instruments.derived(metrics.INFERENCES, self.latency.finished, location=location)
        instruments.derived(metrics.ERRORS, self.latency.failed, location=location)
        instruments.derived(metrics.IN_PROGRESS, self.latency.in_progress, location=location)
        self.observe = Observation(self.latency, FailureEvents(context, location))


class FailureEvents:
    """Writes an event for an inference that raised, one a minute at most: a broken model fails at every frame."""

    INTERVAL_SECONDS = 60.0

    def __init__(self, context: TaskContext, location: str) -> None:
        self._context = context
        self._location = location
        self._quiet_until = float("-inf")
        self._suppressed = 0

    def __call__(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            return  # an interrupt, an exit, a cancellation: not the inference's fault
        with self._context.guard:
            now = self._context.clock.monotonic()
            if now < self._quiet_until:
                self._suppressed += 1
                return
            self._quiet_until = now + self.INTERVAL_SECONDS
            suppressed, self._suppressed = self._suppressed, 0
            self._context.emit(
                "inference.failed", location=self._location, error=type(error).__name__, suppressed=suppressed
            )
