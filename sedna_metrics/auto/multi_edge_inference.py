"""Multi-edge inference: object detection and tracking, feature extraction, ReID.

Source: lib/sedna/core/multi_edge_inference/components. ``BaseService`` calls ``process_data`` with a list of items, for
each of its models.
"""

from __future__ import annotations

from functools import partial
from typing import Any, List

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Function, Hook, before, length, observed_late
from sedna_metrics.identity import UNKNOWN

COMPONENTS = "sedna.core.multi_edge_inference.components"
#: Module, class, and the kind and worker type of its workers where the environment does not tell them.
_CLASSES = (
    ("detector", "ObjectDetector", "videoanalyticsjob", "videoanalytics"),
    ("feature_extraction", "FEService", "featureextractionservice", "fe"),
    ("reid", "ReID", "reidjob", "reid"),
)


def hooks(worker: Worker) -> List[Hook]:
    """What is observed of multi-edge inference: each call of ``process_data`` is an inference, each item a sample."""
    boundary = worker.guard

    def count_items(_: Any, __: Any, data: Any, **___: Any) -> None:
        items = length(data)
        if items is not None:
            worker.multi_edge_inference.sample(items)

    def process_data(original: Function) -> Function:
        observed = observed_late(boundary, lambda: worker.multi_edge_inference.inference)
        return before(boundary, count_items)(observed(original))

    found = []
    for module, owner, kind, worker_type in _CLASSES:
        # Before the construction, which starts the thread that processes data.
        prepare = before(boundary, partial(_prepare, worker, kind, worker_type))
        found.append(Hook(f"{COMPONENTS}.{module}", owner, "__init__", (), prepare))
        found.append(Hook(f"{COMPONENTS}.{module}", owner, "process_data", ("ai", "data"), process_data))
    return found


def _prepare(worker: Worker, kind: str, worker_type: str, *_: Any, **__: Any) -> None:
    """The series are there, at 0, before the first items come."""
    worker.update_identity(kind if worker.identity.kind == UNKNOWN else worker.identity.kind, worker_type)
    worker.multi_edge_inference.inference, worker.multi_edge_inference.sample  # noqa: B018
