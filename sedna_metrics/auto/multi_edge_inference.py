"""Multi-edge inference: ``process_data`` of the three components.

Source: lib/sedna/core/multi_edge_inference/components. Their threads call it for each model with a flat list of items.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, List, Tuple

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Function, Hook, argument, length
from sedna_metrics.identity import UNKNOWN

_PACKAGE = "sedna.core.multi_edge_inference.components"
#: Module, class, and kind and worker type where the environment tells neither; without a JOB_NAME a ReID worker is one
#: of ObjectSearchService, to which Global Manager gives no variables at all.
_CLASSES: Tuple[Tuple[str, str, Dict[bool, Tuple[str, str]]], ...] = (
    (
        "detector",
        "ObjectDetector",
        {True: ("videoanalyticsjob", "videoanalytics"), False: ("objecttrackingservice", "tracking")},
    ),
    ("feature_extraction", "FEService", {True: ("featureextractionservice", "fe")}),
    ("reid", "ReID", {True: ("reidjob", "reid"), False: ("objectsearchservice", "reid")}),
)


def hooks(worker: Worker) -> List[Hook]:
    """What is observed of multi-edge inference."""
    return [
        Hook(f"{_PACKAGE}.{module}", owner, "process_data", ("ai", "data"), partial(_process_data, worker, roles))
        for module, owner, roles in _CLASSES
    ]


def _process_data(worker: Worker, roles: Dict[bool, Tuple[str, str]], original: Function) -> Function:
    observed: List[Function] = []  # made at the first call: a worker must not show series of other roles

    def wrapper(service: Any, *arguments: Any, **keywords: Any) -> Any:
        with worker.guard:
            if not observed:
                if worker.identity.kind == UNKNOWN:
                    worker.update_identity(*roles.get(worker.identity.has_job_name, roles[True]))
                observed.append(worker.multi_edge_inference.inference(original))
            items = length(argument(1, "data", arguments, keywords))
            if items is not None:
                worker.multi_edge_inference.sample(items)
        return (observed[0] if observed else original)(service, *arguments, **keywords)

    return wrapper
