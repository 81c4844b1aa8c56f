"""Snapshots of a child process's metrics, and adding them to the main process's.

A snapshot is a list of rows ``[metric, [label values], value]``, cumulative since the child began. Values are a number
(counter), a number or null (gauge), a list of label sets (info) or ``[started, failed, [counts], seconds]`` (calls).
States are not part of it: a child never changes the stage or status of its parent. Snapshots come from files, so they
are checked against the catalogue before anything is added.
"""

from __future__ import annotations

from functools import partial
from math import isfinite
from typing import Any, Callable, Dict, List, Tuple

from sedna_metrics.catalogue import BY_NAME, CALL_GROUPS, Metric
from sedna_metrics.metrics._instruments import Instruments
from sedna_metrics.metrics._text import MAX_LABEL_LENGTH
from sedna_metrics.metrics._values import MAX_AMOUNT, CallHistogram, Counter, Gauge, Info

Key = Tuple[str, Tuple[str, ...]]
Snapshot = Dict[Key, Any]

INTERNAL = "internal "
"""Prefix of internal counters: those that only callback metrics read."""


def snapshot(instruments: Instruments) -> Snapshot:
    """The values of all metrics that this process has updated."""
    values: Snapshot = {(INTERNAL + name, ()): counter.value() for name, counter in list(instruments.internal.items())}
    for family in instruments.families:
        for labels, metric in list(family.series().items()):
            key = (family.metric.name, labels)
            if isinstance(metric, (Counter, Gauge)):
                values[key] = metric.value()
            elif isinstance(metric, Info):
                values[key] = list(metric.label_sets)
            elif isinstance(metric, CallHistogram):
                # What ended is read first, so that no call seems to have ended that has not begun.
                failed, (counts, seconds) = metric.failed(), metric.histogram()
                values[key] = [metric.started(), failed, list(counts), seconds]
    return values


def subtract(after: Snapshot, before: Snapshot) -> Snapshot:
    """What a forked child counted itself, after it had copied its parent's ``before``."""
    own: Snapshot = {}
    for key, value in after.items():
        form, known = _form(key[0]), before.get(key)
        if known is None:
            own[key] = value
        elif form == "counter":
            own[key] = value - known
        elif form == "histogram":
            counts = [now - then for now, then in zip(value[2], known[2])]
            own[key] = [value[0] - known[0], value[1] - known[1], counts, value[3] - known[3]]
        elif value != known and value == value:  # a NaN of the parent's is not equal to itself
            own[key] = value
    return own


def to_rows(values: Snapshot) -> List[Any]:
    """The snapshot as JSON has it."""
    return [[name, list(labels), value] for (name, labels), value in values.items()]


def parse(rows: Any) -> Snapshot:
    """Check the rows of a snapshot.

    Raises:
        ValueError: a row does not fit the catalogue.
    """
    if not isinstance(rows, list):
        raise ValueError("a snapshot is a list of rows")
    values: Snapshot = {}
    for row in rows:
        if not (isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) and isinstance(row[1], list)):
            raise ValueError(f"not a row of a snapshot: {row!r:.100}")
        name, labels, value = row
        form = _form(name)
        if len(labels) != (0 if form == "info" else len(_labels(name))) or not all(map(_is_label, labels)):
            raise ValueError(f"labels of {name:.100} in a snapshot: {labels!r:.100}")
        if not _VALID[form](value) or (form == "info" and any(set(each) != set(_labels(name)) for each in value)):
            raise ValueError(f"value of {name:.100} in a snapshot: {value!r:.100}")
        values[name, tuple(labels)] = value
    return values


def merge(instruments: Instruments, before: Snapshot, after: Snapshot) -> None:
    """Add what a child counted between two of its snapshots; of a gauge or info, take it if it has changed.

    Raises:
        ValueError: a counter fell, or buckets differ; nothing is added then.
    """
    steps: List[Callable[[], None]] = []
    for (name, labels), value in after.items():
        form, known = _form(name), before.get((name, labels))
        if value == known:
            continue
        if form == "counter":
            steps.append(_adding(instruments, name, labels, value - (known or 0)))
        elif form == "histogram":
            steps.append(_merging(instruments, name, labels, value, known or [0, 0, [0] * len(value[2]), 0.0]))
        elif form == "info":
            steps.append(partial(instruments.info(BY_NAME[name]).set, *value))
        else:
            gauge = instruments.gauge(BY_NAME[name], None, **dict(zip(_labels(name), labels)))
            # A NaN or infinite loss is counted by the child already, so it does not go through set() again.
            steps.append(partial(gauge.restore if value is None or not isfinite(value) else gauge.set, value))
    for step in steps:
        step()


def end_calls(instruments: Instruments, last: Snapshot) -> None:
    """Take back the calls in progress of a child that is gone."""
    for (name, labels), value in last.items():
        if _form(name) == "histogram":
            started, failed, counts, _ = value
            _calls(instruments, name, labels).merge(int(failed + sum(counts) - started), 0, (), 0.0)


def _adding(instruments: Instruments, name: str, labels: Tuple[str, ...], amount: float) -> Callable[[], None]:
    if amount < 0:
        raise ValueError(f"{name:.100} fell in a snapshot")
    if name.startswith(INTERNAL):
        counter = instruments.internal_counter(BY_NAME[name[len(INTERNAL) :]])
    else:
        counter = instruments.counter(BY_NAME[name], **dict(zip(_labels(name), labels)))
    return partial(counter.inc, amount)


def _merging(
    instruments: Instruments, name: str, labels: Tuple[str, ...], after: List[Any], before: List[Any]
) -> Callable[[], None]:
    if len(after[2]) != len(instruments.bounds(BY_NAME[name])) + 1:
        raise ValueError(f"{name} has other buckets in a snapshot")
    counts = [int(now - then) for now, then in zip(after[2], before[2])]
    failed, seconds = int(after[1] - before[1]), after[3] - before[3]
    if failed < 0 or seconds < 0 or min(counts) < 0:
        raise ValueError(f"{name} fell in a snapshot")
    return partial(_calls(instruments, name, labels).merge, int(after[0] - before[0]), failed, counts, seconds)


def _calls(instruments: Instruments, name: str, labels: Tuple[str, ...]) -> CallHistogram:
    own = dict(zip(_labels(name), labels))
    group = CALL_GROUPS.get(name)
    return instruments.calls(group, **own) if group else instruments.call_histogram(BY_NAME[name], **own)


def _form(name: str) -> str:
    if name.startswith(INTERNAL):
        name = name[len(INTERNAL) :]
    metric = BY_NAME.get(name)
    if metric is None or metric.form == "state":
        raise ValueError(f"a snapshot has no metric {name!r:.100}")
    return metric.form


def _labels(name: str) -> List[str]:
    metric: Metric = BY_NAME[name[len(INTERNAL) :] if name.startswith(INTERNAL) else name]
    return [] if name.startswith(INTERNAL) else [label for label in metric.labels if label != metric.state_label]


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_LABEL_LENGTH


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= MAX_AMOUNT and value == int(value)


def _is_calls(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(map(_is_count, value[:2]))
        and isinstance(value[2], list)
        and 0 < len(value[2]) <= 1000
        and all(map(_is_count, value[2]))
        and isinstance(value[3], (int, float))
        and isfinite(value[3])
        and value[3] >= 0
    )


def _is_info(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 1000 and all(
        isinstance(each, dict) and all(map(_is_label, each)) and all(map(_is_label, each.values())) for each in value
    )  # fmt: skip


_VALID: Dict[str, Callable[[Any], bool]] = {
    "counter": _is_count,
    "gauge": lambda value: value is None or isinstance(value, (int, float)),
    "histogram": _is_calls,
    "info": _is_info,
}
