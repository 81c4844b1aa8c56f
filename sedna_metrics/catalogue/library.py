"""The library on itself."""

from __future__ import annotations

from typing import Tuple

from sedna_metrics.catalogue._metric import Metric

PUSH_ATTEMPTS = Metric("sedna_metrics_push_attempts_total", "counter", "Pushes to the Pushgateway that were tried.")
PUSH_FAILURES = Metric("sedna_metrics_push_failures_total", "counter", "Pushes to the Pushgateway that failed.")
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
INTERNAL_ERRORS = Metric(
    "sedna_metrics_internal_errors_total",
    "counter",
    "Failures inside the library that were kept away from the worker.",
)

METRICS: Tuple[Metric, ...] = (PUSH_ATTEMPTS, PUSH_FAILURES, DROPPED_LABEL_SETS, REJECTED_VALUES, INTERNAL_ERRORS)
