"""The metric contract: every series this library emits, declared once.

Declarations only, standard library only. Recorders, docs, dashboards and rules read the same frozen objects; no metric
is ever made from a string at run time.
"""

from __future__ import annotations

from typing import Dict, Tuple

from sedna_metrics.catalogue import federated, inference, learning, library, worker
from sedna_metrics.catalogue._metric import COMMON_LABELS, OTHER, Metric

__all__ = ["ALL", "BY_NAME", "COMMON_LABELS", "OTHER", "Metric"]

#: In the order in which they are exposed and documented.
ALL: Tuple[Metric, ...] = worker.METRICS + inference.METRICS + learning.METRICS + federated.METRICS + library.METRICS

BY_NAME: Dict[str, Metric] = {metric.name: metric for metric in ALL}
