"""Multi-edge inference: object detection and tracking, feature extraction, re-identification."""

from __future__ import annotations

from typing import Callable

from sedna_metrics._compat import cached_property
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import TaskContext, lazy_instrument
from sedna_metrics.tasks._inference import InferenceLocation, count_samples


class MultiEdgeInference:
    """``worker.multi_edge_inference``, for workers of ReidJob, VideoAnalyticsJob, FeatureExtractionService and
    ObjectSearchService.
    """

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._boundary = context.boundary

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

    @cached_property
    def _edge(self) -> InferenceLocation:
        return InferenceLocation(self._context, "edge")
