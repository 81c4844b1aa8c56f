"""Joint inference: a small model at the edge, a big one in the cloud for the hard samples."""

from __future__ import annotations

from typing import Callable

from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import lazy_instrument
from sedna_metrics.tasks._inference import InferenceTask


class JointInference(InferenceTask):
    """``worker.joint_inference``, for edge and cloud workers of a JointInferenceService."""

    @lazy_instrument
    def edge_inference(self) -> Observation:
        """Decorator and context manager for an inference at the edge (EdgeInferenceCount)."""
        return self._observe("edge")

    @lazy_instrument
    def cloud_inference(self) -> Observation:
        """Decorator and context manager for an inference that the cloud does for this worker (CloudInferenceCount).

        Put it around the call in the edge worker; the cloud worker has :attr:`serve`.
        """
        return self._observe("cloud")

    @lazy_instrument
    def hard_sample(self) -> Callable[..., None]:
        """``hard_sample()`` counts a sample that the miner called hard (HardSampleNum).

        It counts whether or not the cloud answers. ``hard_sample(n)`` counts ``n``; the miner's own answer, a bool,
        counts as 0 or 1.
        """
        return self._context.instruments.counter(metrics.HARD_SAMPLES).inc

    @lazy_instrument
    def serve(self) -> Observation:
        """Decorator and context manager, in the cloud worker, for an inference that is done for others."""
        return self._observe("served")
