"""Inference, as every kind of task that infers has it."""

from __future__ import annotations

from typing import Callable, Dict, Optional

from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.errors import describe
from sedna_metrics.metrics import CallHistogram
from sedna_metrics.tasks._context import Task, TaskContext, lazy_instrument


class InferenceTask(Task):
    """A task that infers. The series of each attribute exist from its first use on."""

    @lazy_instrument
    def sample(self) -> Callable[..., None]:
        """``sample()`` counts a sample put to the task; ``sample(n)`` counts ``n``, such as frames or detections.

        A script that never calls it has one sample for each inference; in joint inference, for each at the edge. Call
        it for an inference on several samples, or if you mine before you infer (Sedna's MINING_MODE
        mining-then-inference).
        """
        counted, calls = self._context.instruments.internal_counter(metrics.SAMPLES), self._calls("edge")
        inferences = 0.0

        def read() -> float:
            nonlocal inferences  # a counter must not fall when the script begins to count
            samples = counted.value()
            if not samples:
                inferences = calls.finished() + calls.failed()
            return max(samples, inferences)

        self._context.instruments.callback(metrics.SAMPLES, read)
        return counted.inc

    def _observe(self, location: str) -> Observation:
        if location == "edge":
            self.sample  # noqa: B018 - each edge inference is a sample, unless the script counts them
        calls = self._calls(location)
        failures = FailureEvents(self._context, location, calls.failed)
        return Observation(calls, failures, self._context.clock.monotonic, self._boundary)

    def _calls(self, location: str) -> CallHistogram:
        if location == "served":
            return self._context.instruments.calls(metrics.SERVED_CALLS)
        return self._context.instruments.calls(metrics.INFERENCE_CALLS, location=location)


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
        self._last: Dict[str, str] = {}
        context.at_close(self._write_rest)

    def __call__(self, error: Exception) -> None:
        # Without a lock: two threads at once may write two events, which does no harm.
        now = self._context.clock.monotonic()
        self._last = {"error": type(error).__name__, "reason": describe(error)}  # not its frames and their data
        if now < self._quiet_until:
            self._suppressed += 1
            return
        self._quiet_until = now + self.INTERVAL_SECONDS
        self._write(error)

    def _write_rest(self) -> None:
        if self._suppressed:
            self._write(None)

    def _write(self, exception: Optional[Exception]) -> None:
        suppressed, self._suppressed = self._suppressed, 0
        fields = {"location": self._location, **self._last, "failures": self._failures(), "suppressed": suppressed}
        self._context.emit("inference.failed", exception=exception, **fields)
