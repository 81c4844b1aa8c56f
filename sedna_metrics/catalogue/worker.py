"""Metrics of every worker, whatever its task."""

from __future__ import annotations

from typing import Tuple

from sedna_metrics.catalogue._metric import Metric

WORKER_INFO = Metric(
    "sedna_worker_info",
    "info",
    "Who this worker is; join other metrics with it on task and worker.",
    labels=("namespace", "kind", "worker_type", "node", "host", "version"),
)
LAST_SUCCESS = Metric(
    "sedna_worker_last_success_timestamp_seconds",
    "gauge",
    "Unix time at which the worker's work last ended well.",
    unit="seconds",
    minimum=0,
)

METRICS: Tuple[Metric, ...] = (WORKER_INFO, LAST_SUCCESS)
