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
        for labels, metric in family.series().items():
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
    """What a forked child counted itself, after it had copied its parent's ``before``.

    A gauge that has changed once is the child's own from then on, and leaves ``before``.
    """
    own: Snapshot = {}
    for key, value in after.items():
        form, known = _metric(key[0]).form, before.get(key)
        if known is None:
            own[key] = value
        elif form == "counter":
            own[key] = value - known
        elif form == "histogram":
            own[key] = _calls_since(value, known)
        elif value != known and (value == value or known == known):  # a NaN of the parent's is not equal to itself
            own[key] = value
            del before[key]
    return own


def to_rows(values: Snapshot) -> List[Any]:
    return [[name, list(labels), value] for (name, labels), value in values.items()]


def parse(rows: Any) -> Snapshot:
    """Check the rows of a snapshot; one that does not fit the catalogue raises ValueError."""
    if not isinstance(rows, list):
        raise ValueError("a snapshot is a list of rows")
    values: Snapshot = {}
    for row in rows:
        if not (isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) and isinstance(row[1], list)):
            raise ValueError(f"not a row of a snapshot: {row!r:.100}")
        name, labels, value = row
        metric = _metric(name)
        if len(labels) != len(_label_names(name)) or not all(map(_is_label, labels)):
            raise ValueError(f"labels of {name:.100} in a snapshot: {labels!r:.100}")
        if not _VALID[metric.form](value) or (
            metric.form == "info" and any(set(each) != set(metric.labels) for each in value)
        ):
            raise ValueError(f"value of {name:.100} in a snapshot: {value!r:.100}")
        values[name, tuple(labels)] = value
    return values


def merge(instruments: Instruments, before: Snapshot, after: Snapshot) -> None:
    """Add what a child counted between two of its snapshots; of a gauge or info, take it if it has changed.

    If a counter fell, or buckets differ, it raises ValueError and adds nothing.
    """
    steps: List[Callable[[], None]] = []
    for (name, labels), value in after.items():
        metric, known = _metric(name), before.get((name, labels))
        own = dict(zip(_label_names(name), labels))
        if value == known:
            continue
        if metric.form == "counter":
            if value < (known or 0):
                raise ValueError(f"{name:.100} fell in a snapshot")
            is_internal = name.startswith(INTERNAL)
            counter = instruments.internal_counter(metric) if is_internal else instruments.counter(metric, **own)
            steps.append(partial(counter.inc, value - (known or 0)))
        elif metric.form == "histogram":
            if len(value[2]) != len(instruments.bounds(metric)) + 1:
                raise ValueError(f"{name} has other buckets in a snapshot")
            new = _calls_since(value, known or [0, 0, [0] * len(value[2]), 0.0])
            if min(new[1], new[3], *new[2]) < 0:
                raise ValueError(f"{name} fell in a snapshot")
            steps.append(partial(_calls(instruments, metric, own).merge, *new))
        elif metric.form == "info":
            steps.append(partial(instruments.info(metric).set, *value))
        else:
            gauge = instruments.gauge(metric, None, **own)
            # A NaN or infinite loss is counted by the child already, so it does not go through set() again.
            steps.append(partial(gauge.restore if value is None or not isfinite(value) else gauge.set, value))
    for step in steps:
        step()


def end_calls(instruments: Instruments, last: Snapshot) -> None:
    """Take back the calls in progress of a child that is gone."""
    for (name, labels), value in last.items():
        metric = _metric(name)
        if metric.form == "histogram":
            started, failed, counts, _ = value
            calls = _calls(instruments, metric, dict(zip(_label_names(name), labels)))
            calls.merge(int(failed + sum(counts) - started), 0, (), 0.0)


def _calls_since(after: List[Any], before: List[Any]) -> List[Any]:
    counts = [int(now - then) for now, then in zip(after[2], before[2])]
    return [int(after[0] - before[0]), int(after[1] - before[1]), counts, after[3] - before[3]]


def _calls(instruments: Instruments, metric: Metric, labels: Dict[str, str]) -> CallHistogram:
    group = CALL_GROUPS.get(metric.name)
    return instruments.calls(group, **labels) if group else instruments.call_histogram(metric, **labels)


def _metric(name: str) -> Metric:
    metric = BY_NAME.get(name[len(INTERNAL) :] if name.startswith(INTERNAL) else name)
    if metric is None or metric.form == "state":
        raise ValueError(f"a snapshot has no metric {name!r:.100}")
    return metric


def _label_names(name: str) -> Tuple[str, ...]:
    return () if name.startswith(INTERNAL) else _metric(name).series_labels


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_LABEL_LENGTH


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= MAX_AMOUNT and value == int(value)


def _is_calls(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 4 or not isinstance(value[2], list) or len(value[2]) > 1000:
        return False
    is_duration = isinstance(value[3], (int, float)) and isfinite(value[3]) and value[3] >= 0
    return is_duration and bool(value[2]) and all(map(_is_count, (*value[:2], *value[2])))


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
