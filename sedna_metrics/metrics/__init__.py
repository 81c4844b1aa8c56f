"""From catalogue entries to live series: what the hot path updates, and what a scrape reads."""

from __future__ import annotations

from sedna_metrics.metrics._instruments import Instruments, OurMetric
from sedna_metrics.metrics._snapshot import Snapshot, end_calls, merge, parse, snapshot, subtract, to_rows
from sedna_metrics.metrics._values import (
    FLUSH_EVERY,
    CallHistogram,
    Counter,
    Gauge,
    Info,
    State,
    last_of,
    mean_of,
    to_float,
)

__all__ = [
    "FLUSH_EVERY", "CallHistogram", "Counter", "Gauge", "Info", "Instruments", "OurMetric", "Snapshot", "State",
    "end_calls", "last_of", "mean_of", "merge", "parse", "snapshot", "subtract", "to_float", "to_rows",
]  # fmt: skip
