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
)
from sedna_metrics.instruments._instruments import Instruments, OurMetric

__all__ = [
    "FOLD_EVERY",
    "Counter",
    "Gauge",
    "HistogramValue",
    "Info",
    "Instruments",
    "Latency",
    "OurMetric",
    "State",
    "last_of",
    "mean_of",
]
