"""Multi-edge inference: object detection and tracking, feature extraction, ReID.

Source: lib/sedna/core/multi_edge_inference/components. ``BaseService`` calls ``process_data`` with a list of items.
"""

from __future__ import annotations

from functools import partial
from typing import Any, List

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Hook, Steps, sample_count
from sedna_metrics.identity import UNKNOWN

COMPONENTS = "sedna.core.multi_edge_inference.components"
#: Module, class, and the kind and worker type of its workers where the environment does not tell them.
_CLASSES = (
    ("detector", "ObjectDetector", "videoanalyticsjob", "videoanalytics"),
    ("feature_extraction", "FEService", "featureextractionservice", "fe"),
    ("reid", "ReID", "reidjob", "reid"),
)


def hooks(worker: Worker) -> List[Hook]:
    """The hooks of multi-edge inference: each call of ``process_data`` is an inference, each item a sample."""

    def construct(kind: str, worker_type: str, *_: Any, **__: Any) -> Steps:
        # Before the construction, which starts the thread that processes data: the series are there, at 0.
        worker.update_identity(kind if worker.identity.kind == UNKNOWN else worker.identity.kind, worker_type)
        worker.multi_edge_inference.inference, worker.multi_edge_inference.sample  # noqa: B018
        yield

    def process_data(_: Any, __: Any, data: Any, **___: Any) -> Steps:
        task = worker.multi_edge_inference
        task.sample(sample_count(data) or 0)
        with task.inference():
            yield

    found = []
    for module, owner, kind, worker_type in _CLASSES:
        found.append(Hook(f"{COMPONENTS}.{module}", owner, "__init__", (), partial(construct, kind, worker_type)))
        found.append(Hook(f"{COMPONENTS}.{module}", owner, "process_data", ("ai", "data"), process_data))
    return found
