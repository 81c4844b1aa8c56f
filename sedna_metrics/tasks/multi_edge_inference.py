"""Multi-edge inference: object detection and tracking, feature extraction, re-identification."""

from __future__ import annotations

from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import lazy_instrument
from sedna_metrics.tasks._inference import InferenceTask


class MultiEdgeInference(InferenceTask):
    """``worker.multi_edge_inference``, for workers of ReidJob, VideoAnalyticsJob, FeatureExtractionService and
    ObjectSearchService.
    """

    @lazy_instrument
    def inference(self) -> Observation:
        """Decorator and context manager for one call of ``process_data``; each is one item, unless the script counts
        them by :attr:`sample`.
        """
        return self._observe("edge")
