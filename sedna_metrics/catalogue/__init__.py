"""The metric contract: every series this library emits, declared once.

Declarations only, standard library only. Recorders, docs, dashboards and rules read the same frozen objects; no metric
is ever made from a string at run time.
"""

from __future__ import annotations

from typing import Dict, Tuple

from sedna_metrics.catalogue import federated, inference, learning, library, worker
from sedna_metrics.catalogue._metric import COMMON_LABELS, OTHER, CallGroup, Metric

__all__ = ["ALL", "BY_NAME", "CALL_GROUPS", "COMMON_LABELS", "OTHER", "CallGroup", "Metric"]

#: In the order in which they are exposed and documented.
ALL: Tuple[Metric, ...] = tuple(
    value
    for module in (worker, inference, learning, federated, library)
    for value in vars(module).values()
    if isinstance(value, Metric)
)

BY_NAME: Dict[str, Metric] = {metric.name: metric for metric in ALL}

CALL_GROUPS: Dict[str, CallGroup] = {
    group.duration.name: group for group in (inference.INFERENCE_CALLS, inference.SERVED_CALLS)
}
"""By the name of their duration."""
