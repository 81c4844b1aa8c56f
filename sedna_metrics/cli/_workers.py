"""What ``top`` shows of a worker, from the samples of two looks."""

from __future__ import annotations

import math
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from prometheus_client.parser import text_string_to_metric_families

from sedna_metrics._http import printable
from sedna_metrics.catalogue import Metric, federated, inference, learning, library, worker

Labels = Tuple[Tuple[str, str], ...]
Samples = Dict[Tuple[str, Labels], float]
"""Values by name and own labels."""
Row = Dict[str, Any]
"""Figures by the heading of their column, ``None`` if unknown; ``problem`` marks a source that does not answer."""

SILENT_SECONDS = 300.0
"""A running worker that has not pushed for so long is marked: it is dead or cut off."""
_GROUP = ("instance", "namespace", "task", "worker_type")
_WHO = ("instance", "task", "worker")
_PUSHED = "push_time_seconds"


def samples_by_worker(text: str) -> Dict[Labels, Samples]:
    """The workers in an exposition, of a worker or a Pushgateway; ValueError or KeyError for anything else."""
    workers: Dict[Labels, Samples] = {}
    groups: Dict[Labels, Labels] = {}
    pushed: Dict[Labels, float] = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            group = tuple((label, labels.get(label, "")) for label in _GROUP)
            if name == _PUSHED:
                pushed[group] = value
            elif name.startswith("sedna_") and "worker" in labels:
                own = tuple(sorted(each for each in labels.items() if each[0] not in (*_GROUP, "job", "worker")))
                if name.endswith("_bucket"):
                    float(labels["le"])
                # On a Pushgateway two nodes may have workers of one name: the group's instance tells them apart.
                who: Labels = tuple((label, labels[label]) for label in _WHO if label in labels)
                workers.setdefault(who, {})[name, own] = value
                if name == worker.WORKER_INFO.name:
                    groups[who] = group
    for who, group in groups.items():
        if group in pushed:
            workers[who][_PUSHED, ()] = pushed[group]
    return {who: workers[who] for who in groups}


def figures(who: Labels, samples: Samples, before: Samples, seconds: float) -> Row:
    """One worker's figures, from its samples of two looks and the time between them."""
    rates = _rates(samples, before, seconds) if seconds > 0 else {}
    pushed = samples.get((_PUSHED, ()), math.nan)
    age = max(0.0, time.time() - pushed) if math.isfinite(pushed) else None
    state = _state(samples)
    is_silent = (age or 0.0) > SILENT_SECONDS and "running" in state
    left = learning.EVAL_REMAINING if state.startswith("eval") else learning.TRAINING_REMAINING
    served = _value(rates, inference.SERVED)
    count, hard = _value(samples, inference.SAMPLES), _value(samples, inference.HARD_SAMPLES)
    errors = [samples[key] for key in samples if key[0] in (inference.ERRORS.name, inference.SERVED_ERRORS.name)]
    failed, spooled = _value(samples, library.PUSH_FAILURES), _value(samples, library.SPOOL_ENTRIES)
    pushes = (f"{failed:.0f} failed" if failed else "", f"{spooled:.0f} spooled" if spooled else "")
    return {
        "TASK": dict(who).get("task", ""),
        "WORKER": dict(who)["worker"],
        "STATE": f"{state} (silent)" if is_silent else state,
        "PROGRESS": _progress(samples),
        "LEFT": _value(samples, left),
        "LOSS": _value(samples, learning.TRAINING_LOSS),
        "EDGE/S": _value(rates, inference.INFERENCES, location="edge"),
        "CLOUD/S": _value(rates, inference.INFERENCES, location="cloud") if served is None else served,
        "HARD": (hard or 0.0) / count if count else None,
        "P95": _p95(rates) or _p95(samples),
        "ERRORS": sum(errors) if errors else None,
        "PUSHED": age,
        "PUSHES": " ".join(filter(None, pushes)),
        "NODE": _active(samples, worker.WORKER_INFO).get("node", "").replace("unknown", ""),
    }


def _state(samples: Samples) -> str:
    """Stage and its status, or the status of a federated worker and the round."""
    stage = _active(samples, learning.TASK_STAGE).get("task_stage", "")
    if stage:
        return f"{stage} {_active(samples, learning.STAGE_STATUS, task_stage=stage).get('status', '')}".strip()
    round_ = _value(samples, federated.AGGREGATION_ROUND)
    status = _active(samples, federated.TRAIN_STATUS).get("status", "")
    return f"{status} {'' if round_ is None else f'round {round_:.0f}'}".strip()


def _progress(samples: Samples) -> Optional[float]:
    """Part of the training that is done, 0 to 1."""
    epoch, epochs = _value(samples, learning.TRAINING_EPOCH), _value(samples, learning.TRAINING_EPOCHS)
    if epoch is None or not epochs:
        return None
    is_over = _value(samples, learning.TRAINING_REMAINING) == 0
    return min(1.0, (epoch if is_over else epoch - 1) / epochs)


def _p95(samples: Samples) -> Optional[float]:
    buckets: Dict[float, float] = {}
    for (name, labels), value in samples.items():
        if name in (f"{inference.DURATION.name}_bucket", f"{inference.SERVED_DURATION.name}_bucket"):
            bound = float(dict(labels)["le"])
            buckets[bound] = buckets.get(bound, 0.0) + value
    return quantile(0.95, buckets)


def _rates(samples: Samples, before: Samples, seconds: float) -> Samples:
    """What each has grown by in a second; a counter that fell began anew."""
    rates = {}
    for key, value in samples.items():
        then = before.get(key, 0.0)
        rates[key] = (value - then if value >= then else value) / seconds
    return rates


def _value(samples: Samples, metric: Metric, **labels: str) -> Optional[float]:
    return samples.get((metric.name, tuple(sorted(labels.items()))))


def _active(samples: Samples, metric: Metric, **labels: str) -> Dict[str, str]:
    """The labels of the metric's series that is 1."""
    for (name, own), value in samples.items():
        if name == metric.name and value == 1 and labels.items() <= dict(own).items():
            return dict(own)
    return {}


def quantile(q: float, buckets: Dict[float, float]) -> Optional[float]:
    """The quantile of cumulative counts by upper bound, estimated as by Prometheus; at most the last finite bound."""
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    rank, below, low = q * buckets[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            inside = buckets[bound] - below
            return low if math.isinf(bound) else low + (bound - low) * ((rank - below) / inside if inside else 1.0)
        below, low = buckets[bound], bound
    return low


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """From milliseconds to hours."""
    if not math.isfinite(seconds):
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.3g}ms" if seconds else "0s"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def name(text: str) -> str:
    """Printable, and not too wide: names of pods differ at their end."""
    text = printable(text)
    return text if len(text) <= 30 else f"{text[:14]}..{text[-14:]}"


COLUMNS: Dict[str, Tuple[Callable[[Any], str], int]] = {
    "TASK": (name, 0),
    "WORKER": (name, 0),
    "STATE": (printable, 0),
    "PROGRESS": ("{:.0%}".format, 4),
    "LEFT": (duration, 3),
    "LOSS": (number, 3),
    "EDGE/S": (number, 2),
    "CLOUD/S": (number, 4),
    "HARD": ("{:.0%}".format, 5),
    "P95": (duration, 1),
    "ERRORS": (number, 1),
    "PUSHED": (lambda age: f"{duration(round(age))} ago", 5),
    "PUSHES": (str, 6),
    "NODE": (name, 7),
}
"""Text and priority by heading: in a narrow terminal columns with high numbers are left out first."""
SORTABLE = ("task", "loss", "edge/s", "cloud/s", "p95", "errors", "pushed")


def table(rows: Sequence[Row], sort: str = "task", width: int = 0) -> str:
    """The rows as columns, at most ``width`` characters wide unless that is 0; a column without a value is left out.

    Sorted by one of :data:`SORTABLE`; numbers fall, and workers without the value come last.
    """
    rows = sorted(rows, key=lambda row: ("problem" in row, row["TASK"], row["WORKER"]))
    if sort != "task":
        heading = sort.upper()
        rows = sorted(rows, key=lambda row: -math.inf if row.get(heading) is None else row[heading], reverse=True)
    columns: List[Tuple[int, List[str]]] = []
    for heading, (text, priority) in COLUMNS.items():
        texts = ["" if row.get(heading) is None else text(row[heading]) for row in rows]
        if any(texts):
            columns.append((priority, [heading, *texts]))
    while width and len(columns) > 1 and sum(max(map(len, texts)) + 2 for _, texts in columns) - 2 > width:
        columns.remove(max(reversed(columns), key=lambda each: each[0]))
    widths = [max(map(len, texts)) for _, texts in columns]
    lines = zip(*(texts for _, texts in columns))
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip()[: width or None] for line in lines)
