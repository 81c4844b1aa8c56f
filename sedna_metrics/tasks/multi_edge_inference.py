"""Multi-edge inference: object detection and tracking, feature extraction, re-identification."""

from __future__ import annotations

from typing import Callable

from sedna_metrics._compat import cached_property
from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import TaskContext, lazy_instrument
from sedna_metrics.tasks._inference import InferenceLocation


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
        """``sample(n)`` counts ``n`` items (frames, detections) handed to the model; ``sample()`` counts one."""
        return self._context.instruments.counter(metrics.SAMPLES).inc

    @cached_property
    def _edge(self) -> InferenceLocation:
        return InferenceLocation(self._context, "edge")
