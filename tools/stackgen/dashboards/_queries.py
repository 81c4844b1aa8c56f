"""Queries of the panels. Names come from the catalogue's entries, so a metric that is gone breaks the import.

Grafana fills in ``$namespace``, ``$task`` and ``$worker``, which the reader chooses, and ``$__rate_interval``.
"""

from __future__ import annotations

import json
from typing import Iterable, Mapping, Tuple

from sedna_metrics.catalogue import Metric

CHOSEN = 'namespace=~"$namespace",task=~"$task",worker=~"$worker"'
RESOURCE = 'namespace=~"$namespace",name=~"$task"'
"""Selects custom resources: kube-state-metrics calls the task by the resource's name."""

_EVENT = " ".join(f"{{{{ if .{name} }}}}{name}={{{{ .{name} }}}}{{{{ end }}}}" for name in (
    "task_stage", "status", "iteration", "epoch", "epochs", "round", "nodes", "samples", "loss", "remaining_seconds",
    "duration_seconds", "failures", "error", "reason",
))  # fmt: skip
_READABLE = f"| json | line_format `{{{{ .level }}}} {{{{ .worker }}}} {{{{ .message }}}} {_EVENT}`"
"""What a person reads of a line: level, worker, message, and the numbers of an event."""
_LINES = '{job="sedna-worker",namespace=~"$namespace",task=~"$task"} |~ `(?i)$search` | worker=~"$worker"'


def of(metric: Metric, **labels: str) -> str:
    """The metric's series of what is chosen."""
    return _series(metric.name, labels)


def latest_score(by: str, model: str) -> str:
    """Score in the latest evaluation, by the recording rule: workers of earlier iterations leave theirs behind."""
    return f'max{_by(by)}(sedna:eval_score:latest{{namespace=~"$namespace",task=~"$task",model="{model}"}})'


def total(metric: Metric, by: str = "", **labels: str) -> str:
    """Sum over all workers, or by labels."""
    return f"sum{_by(by)}({of(metric, **labels)})"


def highest(metric: Metric, by: str = "", **labels: str) -> str:
    """The highest value by labels, for what is the same number on several workers, or only the latest."""
    return f"max{_by(by)}({of(metric, **labels)})"


def rate(metric: Metric, by: str = "", **labels: str) -> str:
    """How fast a counter grows, a second."""
    return f"sum{_by(by)}(rate({of(metric, **labels)}[$__rate_interval]))"


def increase(metric: Metric, by: str = "", **labels: str) -> str:
    """How much a counter grew in the time that the dashboard shows."""
    return f"sum{_by(by)}(increase({of(metric, **labels)}[$__range]))"


def ratio(above: Metric, below: Metric, by: str = "", **labels: str) -> str:
    """Of the rates of two counters; nothing while the lower one stands still, rather than NaN."""
    return f"{rate(above, by, **labels)} / ({rate(below, by)} > 0)"


def quantile(q: float, metric: Metric, by: str = "", **labels: str) -> str:
    """Estimated from a histogram's buckets."""
    grown = f"rate({_series(f'{metric.name}_bucket', labels)}[$__rate_interval])"
    return f"histogram_quantile({q}, sum by (le{', ' + by if by else ''}) ({grown}))"


def buckets(metric: Metric, **labels: str) -> str:
    """How fast each bucket of a histogram grows, for a heat map."""
    return f"sum by (le) (increase({_series(f'{metric.name}_bucket', labels)}[$__rate_interval]))"


def state(metric: Metric, by: str) -> str:
    """The state's number, counted from 1 as in ``metric.states``: one line for each ``by``."""
    return numbered((of(metric, **{metric.state_label: each}) for each in metric.states), by)


def resource_state(name: str, label: str, states: Tuple[str, ...], by: str) -> str:
    """As :func:`state`, of what kube-state-metrics tells of custom resources."""
    return numbered((f'{name}{{{RESOURCE},{label}="{each}"}}' for each in states), by)


def numbered(series: Iterable[str], by: str, join: str = "or") -> str:
    """Of 0/1 series the number of the one that is 1, counted from 1.

    Series that a label tells apart are joined by ``or``; those of several metrics, whose labels are the same, by ``+``.
    """
    return f"max by ({by}) ({f' {join} '.join(f'{each} * {index}' for index, each in enumerate(series, 1))})"


def lines() -> str:
    """LogQL: the lines of what is chosen, as text."""
    return f"{_LINES} {_READABLE}"


def lines_by_level() -> str:
    """LogQL: how many lines there are, by level."""
    return f"sum by (level) (count_over_time({_LINES} [$__auto]))"


def controllers_lines() -> str:
    """LogQL: the lines of the Global Manager, the Local Controllers and the knowledge base."""
    return '{job="sedna-controller"} |~ `(?i)$search`'


def _by(labels: str) -> str:
    if "task" in labels.split(", ") and "namespace" not in labels:
        labels = f"namespace, {labels}"  # two namespaces may have a task of one name
    return f" by ({labels}) " if labels else " "


def _series(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{', '.join([CHOSEN, *(f'{key}=' + json.dumps(value) for key, value in labels.items())])}}}"
