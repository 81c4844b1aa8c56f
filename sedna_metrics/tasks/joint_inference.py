"""Joint inference: a small model at the edge, a big one in the cloud for the hard samples."""

from __future__ import annotations

from typing import Callable

from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import lazy_instrument
from sedna_metrics.tasks._inference import InferenceLocation, InferenceTask, count_samples


class JointInference(InferenceTask):
    """``worker.joint_inference``, for edge and cloud workers of a JointInferenceService.

    The series of each attribute exist from its first use on.
    """

    @lazy_instrument
    def edge_inference(self) -> Observation:
        """Decorator and context manager for an inference at the edge (EdgeInferenceCount)."""
        self.sample  # noqa: B018 - each edge inference is a sample, unless the script counts them
        return self._edge.observe

    @lazy_instrument
    def cloud_inference(self) -> Observation:
        """Decorator and context manager for an inference that the cloud does for this worker (CloudInferenceCount).

        Put it around the call in the edge worker; the cloud worker has :attr:`serve`.
        """
        return InferenceLocation(self._context, "cloud").observe

    @lazy_instrument
    def hard_sample(self) -> Callable[..., None]:
        """``hard_sample()`` counts a sample that the miner called hard (HardSampleNum).

        It counts whether or not the cloud answers. ``hard_sample(n)`` counts ``n``; the miner's own answer, a bool,
        counts as 0 or 1.
        """
        return self._context.instruments.counter(metrics.HARD_SAMPLES).inc

    @lazy_instrument
    def sample(self) -> Callable[..., None]:
        """``sample()`` counts a sample put to the task.

        A script that never calls it has one for each edge inference. Call it if you mine before you infer (Sedna's
        MINING_MODE mining-then-inference).
        """
        return count_samples(self._context, self._edge.calls)

    @lazy_instrument
    def serve(self) -> Observation:
        """Decorator and context manager, in the cloud worker, for an inference that is done for others."""
        return InferenceLocation(self._context, "served").observe
