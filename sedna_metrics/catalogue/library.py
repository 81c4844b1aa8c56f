"""Metrics of the library on itself."""

from __future__ import annotations

from sedna_metrics.catalogue._metric import Metric

# fmt: off
PUSH_ATTEMPTS = Metric("sedna_metrics_push_attempts_total", "counter", "Attempted pushes to the Pushgateway.")
PUSH_FAILURES = Metric("sedna_metrics_push_failures_total", "counter", "Failed pushes to the Pushgateway.")
LAST_PUSH = Metric(
    "sedna_metrics_last_push_timestamp_seconds", "gauge", "Unix time of the last successful push.",
    minimum=0)
SPOOL_ENTRIES = Metric("sedna_metrics_spool_entries", "gauge", "Undelivered pushes in the spool of this node.")
SPOOLED = Metric("sedna_metrics_spooled_total", "counter", "States written to the spool because a push failed.")
SPOOL_DROPPED = Metric(
    "sedna_metrics_spool_dropped_total", "counter",
    "Lost states: too old, too many, refused by the gateway, or not written to the disk.")
DROPPED_LABEL_SETS = Metric(
    "sedna_metrics_dropped_label_sets_total", "counter",
    'Updates of label sets above MAX_SERIES, which were counted under the label value "other".')
REJECTED_VALUES = Metric(
    "sedna_metrics_rejected_values_total", "counter", "Invalid values, such as a negative sample count.")
LOG_RECORDS_DROPPED = Metric(
    "sedna_metrics_log_records_dropped_total", "counter", "Log records that could not be written to stdout.")
INTERNAL_ERRORS = Metric(
    "sedna_metrics_internal_errors_total", "counter", "Failures of the library, which did not reach the worker.")
# fmt: on
