"""The library on itself."""

from __future__ import annotations

from typing import Tuple

from sedna_metrics.catalogue._metric import Metric

PUSH_ATTEMPTS = Metric("sedna_metrics_push_attempts_total", "counter", "Pushes to the Pushgateway that were tried.")
PUSH_FAILURES = Metric("sedna_metrics_push_failures_total", "counter", "Pushes to the Pushgateway that failed.")
LAST_PUSH = Metric(
    "sedna_metrics_last_push_timestamp_seconds",
    "gauge",
    "Unix time at which a push last arrived.",
    unit="seconds",
    minimum=0,
)
SPOOL_ENTRIES = Metric("sedna_metrics_spool_entries", "gauge", "Undelivered pushes that wait on this node's disk.")
SPOOLED = Metric("sedna_metrics_spooled_total", "counter", "States that went to the spool, since no push arrived.")
SPOOL_DROPPED = Metric(
    "sedna_metrics_spool_dropped_total",
    "counter",
    "Spooled states that were lost: too old, too many, refused by the gateway, or the disk did not take them.",
)
DROPPED_LABEL_SETS = Metric(
    "sedna_metrics_dropped_label_sets_total",
    "counter",
    'Updates of label sets above MAX_SERIES, which were folded into the label value "other".',
)
REJECTED_VALUES = Metric(
    "sedna_metrics_rejected_values_total",
    "counter",
    "Values that were refused because they cannot be what their metric says, such as a negative sample count.",
)
LOG_RECORDS_DROPPED = Metric(
    "sedna_metrics_log_records_dropped_total",
    "counter",
    "Log records that were lost: stdout took none for so long that the queue was full, or it is broken.",
)
INTERNAL_ERRORS = Metric(
    "sedna_metrics_internal_errors_total", "counter", "Failures inside the library that were kept away from the worker."
)

METRICS: Tuple[Metric, ...] = (
    PUSH_ATTEMPTS,
    PUSH_FAILURES,
    LAST_PUSH,
    SPOOL_ENTRIES,
    SPOOLED,
    SPOOL_DROPPED,
    DROPPED_LABEL_SETS,
    REJECTED_VALUES,
    LOG_RECORDS_DROPPED,
    INTERNAL_ERRORS,
)
