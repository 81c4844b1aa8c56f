"""Multi-edge inference: object detection and tracking, feature extraction, re-identification."""

from __future__ import annotations

from typing import Callable

from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import lazy_instrument
from sedna_metrics.tasks._inference import InferenceTask, count_samples


class MultiEdgeInference(InferenceTask):
    """``worker.multi_edge_inference``, for workers of ReidJob, VideoAnalyticsJob, FeatureExtractionService and
    ObjectSearchService.
    """

    @lazy_instrument
    def inference(self) -> Observation:
        """Decorator and context manager for one call of ``process_data``."""
        return self._edge.observe

    @lazy_instrument
    def sample(self) -> Callable[..., None]:
        """``sample(n)`` counts ``n`` items (frames, detections) handed to the model; ``sample()`` counts one.

        While the script counts none, each call of ``inference`` is one item.
        """
        return count_samples(self._context, self._edge.calls)
