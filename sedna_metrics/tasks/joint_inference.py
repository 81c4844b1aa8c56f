"""Joint inference: a small model at the edge, a big one in the cloud for the hard samples."""

from __future__ import annotations

from typing import Callable

from sedna_metrics._compat import cached_property
from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import TaskContext, part
from sedna_metrics.tasks._inference import FailureEvents, InferenceLocation, samples_told_or_inferred


class JointInference:
    """``worker.joint_inference``, for edge and cloud workers of a JointInferenceService.

    The series of each attribute exist from the moment the script first mentions it.
    """

    def __init__(self, context: TaskContext) -> None:
        self._context = context

    @part
    def edge_inference(self) -> Observation:
        """Decorator and context manager for an inference at the edge (EdgeInferenceCount)."""
        self.sample  # noqa: B018 - without a word about samples, each edge inference is one
        return self._edge.observe

    @part
    def cloud_inference(self) -> Observation:
        """Decorator and context manager for an inference that the cloud does for this worker (CloudInferenceCount).

        Put it around the call in the edge worker; the cloud worker has :attr:`serve`.
        """
        return InferenceLocation(self._context, "cloud").observe

    @part
    def hard_sample(self) -> Callable[..., None]:
        """``hard_sample()`` counts a sample that the miner called hard (HardSampleNum).

        Whether or not the cloud answers. ``hard_sample(n)`` counts ``n``; the miner's own answer, a bool, will do.
        """
        return self._context.instruments.counter(metrics.HARD_SAMPLES).inc

    @part
    def sample(self) -> Callable[..., None]:
        """``sample()`` counts a sample put to the task.

        A script that never calls it has one for each edge inference; one that mines before it infers (Sedna's
        MINING_MODE mining-then-inference) has to call it.
        """
        told = self._context.instruments.internal_counter(metrics.SAMPLES)
        self._context.instruments.callback(metrics.SAMPLES, samples_told_or_inferred(told, self._edge.calls))
        return told.inc

    @part
    def serve(self) -> Observation:
        """Decorator and context manager, in the cloud worker, for an inference that is done for others."""
        instruments = self._context.instruments
        served = instruments.call_histogram(metrics.SERVED_DURATION)
        instruments.callback(metrics.SERVED, served.finished)
        instruments.callback(metrics.SERVED_ERRORS, served.failed)
        failures = FailureEvents(self._context, "served", served.failed)
        return Observation(served, failures, self._context.clock.monotonic, self._context.boundary)

    @cached_property
    def _edge(self) -> InferenceLocation:
        return InferenceLocation(self._context, "edge")
