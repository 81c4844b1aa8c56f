"""What ``top`` shows of a worker, from the samples of two looks."""

from __future__ import annotations

import math
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from prometheus_client.parser import text_string_to_metric_families

from sedna_metrics._http import printable
from sedna_metrics.catalogue import ALL, Metric, federated, inference, learning, library, worker

Labels = Tuple[Tuple[str, str], ...]
Samples = Dict[Tuple[str, Labels], float]
"""Values by name and own labels."""

SILENT_SECONDS = 300.0
"""A running worker that has not pushed for so long is marked: it is dead or cut off."""
MAX_NAME = 30
_GROUP = ("instance", "namespace", "task", "worker_type")
_WHO = ("instance", "task", "worker")
_PUSHED = "push_time_seconds"
_OWN_LABELS = {metric.name: set(metric.labels) for metric in ALL if metric.form != "histogram"}
_OWN_LABELS.update((f"{metric.name}_bucket", {*metric.labels, "le"}) for metric in ALL if metric.form == "histogram")


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
            elif name in _OWN_LABELS and "worker" in labels:
                own = tuple(sorted((label, labels[label]) for label in _OWN_LABELS[name] if label in labels))
                if name.endswith("_bucket"):
                    float(dict(own)["le"])
                # On a Pushgateway two nodes may have workers of one name: the group's instance tells them apart.
                who: Labels = tuple((label, labels[label]) for label in _WHO if label in labels)
                workers.setdefault(who, {})[name, own] = value
                if name == worker.WORKER_INFO.name:
                    groups[who] = group
    for who, group in groups.items():
        if group in pushed:
            workers[who][_PUSHED, ()] = pushed[group]
    return {who: workers[who] for who in groups}


class Row:
    """One worker's figures, from its samples of two scrapes; ``None`` if a figure is unknown or does not apply."""

    def __init__(self, who: Labels, samples: Samples, before: Samples, seconds: float, problem: str = "") -> None:
        self._samples, self._before, self._seconds = samples, before, seconds
        self.task, self.worker = dict(who).get("task", ""), dict(who)["worker"]
        self.problem = problem
        self.node = self._labels(worker.WORKER_INFO).get("node", "").replace("unknown", "")
        pushed = samples.get((_PUSHED, ()), math.nan)
        self.age = max(0.0, time.time() - pushed) if math.isfinite(pushed) else None
        self.state = self._state()
        self.loss = self._value(learning.TRAINING_LOSS)
        is_eval = self.state.startswith("eval")
        self.left = self._value(learning.EVAL_REMAINING if is_eval else learning.TRAINING_REMAINING)
        self.progress = self._progress()
        self.edge_rate = self._rate(inference.INFERENCES, location="edge")
        served = self._rate(inference.SERVED)
        self.cloud_rate = self._rate(inference.INFERENCES, location="cloud") if served is None else served
        count, hard = self._value(inference.SAMPLES), self._value(inference.HARD_SAMPLES)
        self.hard = (hard or 0.0) / count if count else None
        self.p95 = self._p95()
        errors = [samples[key] for key in samples if key[0] in (inference.ERRORS.name, inference.SERVED_ERRORS.name)]
        self.errors = sum(errors) if errors else None
        failed, spooled = self._value(library.PUSH_FAILURES), self._value(library.SPOOL_ENTRIES)
        pushes = (f"{failed:.0f} failed" if failed else "", f"{spooled:.0f} spooled" if spooled else "")
        self.pushes = " ".join(filter(None, pushes))

    def _state(self) -> str:
        """Stage and its status, or the status of a federated worker and the round."""
        stage = self._labels(learning.TASK_STAGE).get("task_stage", "")
        state = f"{stage} {self._labels(learning.STAGE_STATUS, task_stage=stage).get('status', '')}".strip()
        if not stage:
            round_ = self._value(federated.AGGREGATION_ROUND)
            state = self._labels(federated.TRAIN_STATUS).get("status", "")
            state = f"{state} {'' if round_ is None else f'round {round_:.0f}'}".strip()
        is_silent = (self.age or 0.0) > SILENT_SECONDS and "running" in state
        return f"{state} (silent)" if is_silent else state

    def _progress(self) -> Optional[float]:
        """Part of the training that is done, 0 to 1."""
        epoch, epochs = self._value(learning.TRAINING_EPOCH), self._value(learning.TRAINING_EPOCHS)
        if epoch is None or not epochs:
            return None
        is_over = self._value(learning.TRAINING_REMAINING) == 0
        return min(1.0, (epoch if is_over else epoch - 1) / epochs)

    def _p95(self) -> Optional[float]:
        """Seconds: 95th percentile of the inferences since the scrape before; of all if there were none."""
        whole: Dict[float, float] = {}
        recent: Dict[float, float] = {}
        for (name, labels), value in self._samples.items():
            if name in (f"{inference.DURATION.name}_bucket", f"{inference.SERVED_DURATION.name}_bucket"):
                bound = float(dict(labels)["le"])
                whole[bound] = whole.get(bound, 0.0) + value
                recent[bound] = recent.get(bound, 0.0) + value - self._before.get((name, labels), 0.0)
        is_known = recent and recent[max(recent)] > 0 and min(recent.values()) >= 0
        return quantile(0.95, recent if is_known else whole)

    def _value(self, metric: Metric, **labels: str) -> Optional[float]:
        return self._samples.get((metric.name, tuple(sorted(labels.items()))))

    def _rate(self, metric: Metric, **labels: str) -> Optional[float]:
        key = metric.name, tuple(sorted(labels.items()))
        if key not in self._samples or self._seconds <= 0:
            return None
        value, before = self._samples[key], self._before.get(key, 0.0)
        return (value - before if value >= before else value) / self._seconds  # a counter that fell began anew

    def _labels(self, metric: Metric, **labels: str) -> Dict[str, str]:
        """The labels of the metric's series that is 1."""
        for (name, own), value in self._samples.items():
            if name == metric.name and value == 1 and labels.items() <= dict(own).items():
                return dict(own)
        return {}


def quantile(q: float, buckets: Dict[float, float]) -> Optional[float]:
    """The quantile of cumulative counts by upper bound, linear within a bucket, as Prometheus estimates it.

    The highest finite bound if it lies above that.
    """
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
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 16]}..{text[-14:]}"


class Column(NamedTuple):
    """One column of the table."""

    heading: str
    value: Callable[[Row], Any]
    text: Callable[[Any], str]
    priority: int
    """In a narrow terminal columns with high numbers are left out first."""


COLUMNS = (
    Column("TASK", lambda row: row.task, name, 0),
    Column("WORKER", lambda row: row.worker, name, 0),
    Column("STATE", lambda row: row.problem or row.state, printable, 0),
    Column("PROGRESS", lambda row: row.progress, "{:.0%}".format, 4),
    Column("LEFT", lambda row: row.left, duration, 3),
    Column("LOSS", lambda row: row.loss, number, 3),
    Column("EDGE/S", lambda row: row.edge_rate, number, 2),
    Column("CLOUD/S", lambda row: row.cloud_rate, number, 4),
    Column("HARD", lambda row: row.hard, "{:.0%}".format, 5),
    Column("P95", lambda row: row.p95, duration, 1),
    Column("ERRORS", lambda row: row.errors, number, 1),
    Column("PUSHED", lambda row: row.age, lambda age: f"{duration(round(age))} ago", 5),
    Column("PUSHES", lambda row: row.pushes, str, 6),
    Column("NODE", lambda row: row.node, name, 7),
)
SORTABLE = ("task", "loss", "edge/s", "cloud/s", "p95", "errors", "pushed")


def table(rows: Sequence[Row], sort: str = "task", width: int = 0) -> str:
    """The rows as columns, at most ``width`` characters wide unless that is 0; a column without a value is left out.

    Sorted by one of :data:`SORTABLE`; numbers fall, and workers without the value come last.
    """
    rows = sorted(rows, key=lambda row: (bool(row.problem), row.task, row.worker))
    if sort != "task":
        value = next(column.value for column in COLUMNS if column.heading.lower() == sort)
        rows = sorted(rows, key=lambda row: -math.inf if value(row) is None else value(row), reverse=True)
    columns: List[Tuple[int, List[str]]] = []
    for column in COLUMNS:
        values = [column.value(row) for row in rows]
        texts = ["" if each is None else column.text(each) for each in values]
        if any(texts):
            columns.append((column.priority, [column.heading, *texts]))
    while width and len(columns) > 1 and sum(max(map(len, texts)) + 2 for _, texts in columns) - 2 > width:
        columns.remove(max(reversed(columns), key=lambda each: each[0]))
    widths = [max(map(len, texts)) for _, texts in columns]
    lines = zip(*(texts for _, texts in columns))
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip()[: width or None] for line in lines)
