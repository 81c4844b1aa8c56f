"""Metrics of every worker."""

from __future__ import annotations

from sedna_metrics.catalogue._metric import Metric

# fmt: off
WORKER_INFO = Metric(
    "sedna_worker_info", "info", "Identity of this worker; join other metrics with it on task and worker.",
    labels=("namespace", "kind", "worker_type", "node", "host", "version"))
LAST_SUCCESS = Metric(
    "sedna_worker_last_success_timestamp_seconds", "gauge", "Unix time when the worker's work last ended well.",
    minimum=0)
# fmt: on
