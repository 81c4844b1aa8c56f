"""From catalogue entry to live series: cells that the hot path writes, families that a scrape reads."""

from __future__ import annotations

from sedna_metrics.instruments._cells import (
    FOLD_EVERY,
    Counter,
    Gauge,
    HistogramValue,
    Info,
    Latency,
    State,
    last_of,
    mean_of,
    to_float,
)
from sedna_metrics.instruments._exchange import Change, Snapshot, abandon, changes, merge, snapshot
from sedna_metrics.instruments._instruments import Instruments, OurMetric

__all__ = [
    "FOLD_EVERY",
    "Change",
    "Counter",
    "Gauge",
    "HistogramValue",
    "Info",
    "Instruments",
    "Latency",
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
