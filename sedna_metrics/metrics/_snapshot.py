"""What one process of a worker tells another: the changes of its cells since it last told, as plain data.

A child process (a data loader, a pool's worker) counts in cells of its own; the worker's main process adds the changes
to its cells. Counters and durations add up; of a gauge, a state or an information the latest setting counts.
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from sedna_metrics.catalogue import BY_NAME
from sedna_metrics.metrics._instruments import Instruments
from sedna_metrics.metrics._values import CallHistogram, Counter, Gauge, Info, State

Key = Tuple[str, Tuple[str, ...]]
Snapshot = Dict[Key, Any]
#: ``[metric, [label values], change]``; a change is a number (counter), ``[value]`` (gauge, state, information), or
#: ``[started, failed, counts, seconds]`` (durations).
Change = List[Any]

INTERNAL = "internal "
"""Stands before the metric's name of a counter that only derived series are made of."""


def snapshot(instruments: Instruments) -> Snapshot:
    """All cells as they stand now."""
    state: Snapshot = {
        (INTERNAL + name, ()): int(counter.value()) for name, counter in list(instruments.internal.items())
    }
    for family in instruments.families:
        for labels, cell in list(family.cells().items()):
            key = (family.metric.name, labels)
            if isinstance(cell, Counter):
                state[key] = int(cell.value())
            elif isinstance(cell, Gauge):
                state[key] = cell.value()
            elif isinstance(cell, State):
                state[key] = cell.current
            elif isinstance(cell, Info):
                state[key] = cell.label_sets
            elif isinstance(cell, CallHistogram):
                state[key] = _read(cell)
            # What is left are derived series: they follow from the cells above.
    return state


def changes(before: Snapshot, after: Snapshot) -> List[Change]:
    """What has to be told, so that who knew ``before`` knows ``after``."""
    told: List[Change] = []
    for (name, labels), now in after.items():
        then = before.get((name, labels))
        # A NaN differs from itself; told again it does no harm.
        if now == then:
            continue
        if isinstance(now, int):
            told.append([name, list(labels), now - (then or 0)])
        elif isinstance(now, tuple) and name in BY_NAME and BY_NAME[name].form == "histogram":
            told.append([name, list(labels), _difference(now, then)])
        else:
            told.append([name, list(labels), [now]])
    return told


def merge(instruments: Instruments, told: List[Change]) -> None:
    """Add to our cells what another process told."""
    for name, labels, change in told:
        if name.startswith(INTERNAL):
            instruments.internal_counter(BY_NAME[name[len(INTERNAL) :]]).inc(change)
            continue
        metric = BY_NAME[name]
        own = dict(zip([label for label in metric.labels if label != metric.state_label], labels))
        if metric.form == "counter":
            instruments.counter(metric, **own).inc(change)
        elif metric.form == "histogram":
            instruments.call_histogram(metric, **own).merge(*change)
        elif metric.form == "info":
            instruments.info(metric).set(*change[0])
        elif metric.form == "state":
            if change[0] is not None:
                instruments.state(metric, **own).set(change[0])
        else:
            gauge = instruments.gauge(metric, **own)
            gauge.clear() if change[0] is None else gauge.assign(change[0])


def abandon(instruments: Instruments, told: List[Change]) -> None:
    """Take back from "in progress" what a process began and, being gone, will not end.

    Args:
        instruments: ours.
        told: everything that it ever told, durations only.
    """
    for name, labels, (started, failed, counts, _) in told:
        metric = BY_NAME[name]
        left = started - failed - sum(counts)
        if left > 0:
            instruments.call_histogram(metric, **dict(zip(metric.labels, labels))).merge(-left, 0, (), 0.0)


def _read(cell: CallHistogram) -> Tuple[int, int, Tuple[int, ...], float]:
    # What ended is read first, so that no call shows as ended that has not begun.
    failed, (counts, seconds) = int(cell.failed()), cell.histogram()
    return int(cell.started()), failed, counts, seconds


def _difference(now: Any, then: Any) -> Change:
    if then is None:
        return [now[0], now[1], list(now[2]), now[3]]
    return [now[0] - then[0], now[1] - then[1], [a - b for a, b in zip(now[2], then[2])], now[3] - then[3]]
