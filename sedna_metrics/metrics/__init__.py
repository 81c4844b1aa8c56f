"""From catalogue entry to live series: cells that the hot path writes, families that a scrape reads."""

from __future__ import annotations

from sedna_metrics.metrics._instruments import Instruments, OurMetric
from sedna_metrics.metrics._snapshot import Change, Snapshot, abandon, changes, merge, snapshot
from sedna_metrics.metrics._values import (
    FOLD_EVERY,
    CallHistogram,
    Counter,
    Gauge,
    HistogramValue,
    Info,
    State,
    last_of,
    mean_of,
    to_float,
)

__all__ = [
    "FOLD_EVERY",
    "Change",
    "Counter",
    "Gauge",
    "HistogramValue",
    "Info",
    "Instruments",
    "CallHistogram",
    "OurMetric",
    "Snapshot",
    "State",
    "abandon",
    "changes",
    "last_of",
    "mean_of",
    "merge",
    "snapshot",
    "to_float",
]
