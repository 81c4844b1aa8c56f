"""What is shown of a worker, made of its samples and of those of the look before."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Deque, Dict, Iterable, List, Optional, Tuple

from sedna_metrics.catalogue import Metric, federated, inference, learning, library, worker
from sedna_metrics.top.sources import Labels, Look, Samples

HISTORY = 16
"""Losses that are kept, for the sparkline."""


@dataclass
class Figures:
    """One worker's line. ``None`` is what is not known, or not so of this worker."""

    task: str
    worker: str
    source: str
    problem: str = ""
    node: str = ""
    state: str = ""
    done: Optional[float] = None
    """Part of training that is done, 0 to 1."""
    remaining: Optional[float] = None
    """Seconds, of the training or the evaluation that it is at."""
    losses: List[float] = field(default_factory=list)
    """The newest last."""
    edge_rate: Optional[float] = None
    """Inferences a second."""
    cloud_rate: Optional[float] = None
    """Also of the cloud worker itself, which serves them."""
    hard_ratio: Optional[float] = None
    """Of all samples."""
    p50: Optional[float] = None
    """Seconds, of the inferences since the last look; of all where there were none."""
    p95: Optional[float] = None
    errors: Optional[float] = None
    pushes: Optional[float] = None
    failed_pushes: Optional[float] = None
    spooled: Optional[float] = None


class Watch:
    """Remembers what was seen, for rates and for the loss's course."""

    def __init__(self) -> None:
        self._before: Dict[Tuple[str, Labels], Tuple[float, Samples]] = {}
        self._losses: Dict[Tuple[str, Labels], Deque[float]] = {}

    def see(self, looks: Iterable[Look], now: float) -> List[Figures]:
        """The workers' figures.

        Args:
            looks: the sources' answers.
            now: when they came, in seconds of any clock that only goes forward.
        """
        shown: List[Figures] = []
        for each in looks:
            if each.problem:
                shown.append(Figures("", "", each.source, problem=each.problem))
            for labels, samples in each.workers.items():
                key = (each.source, labels)
                before, then = self._before.get(key, (now, samples))
                figures = _figures(dict(labels), each.source, samples, then, now - before)
                losses = self._losses.setdefault(key, deque(maxlen=HISTORY))
                loss = _value(samples, learning.TRAINING_LOSS)
                if loss is not None and (not losses or losses[-1] != loss):
                    losses.append(loss)
                figures.losses = list(losses)
                self._before[key] = (now, samples)
                shown.append(figures)
        return shown


def _figures(labels: Dict[str, str], source: str, samples: Samples, before: Samples, seconds: float) -> Figures:
    info = next((dict(own) for name, own in samples if name == worker.WORKER_INFO.name), {})
    put, hard = _value(samples, inference.SAMPLES), _value(samples, inference.HARD_SAMPLES)
    latency, state = _latency(samples, before), _state(samples)
    cloud_rate = _rate(samples, before, seconds, inference.SERVED)
    if cloud_rate is None:
        cloud_rate = _rate(samples, before, seconds, inference.INFERENCES, location="cloud")
    return Figures(
        task=labels.get("task", ""),
        worker=labels["worker"],
        source=source,
        node=info.get("node", ""),
        state=state,
        done=_done(samples),
        remaining=_value(samples, learning.EVAL_REMAINING if state.startswith("eval") else learning.TRAINING_REMAINING),
        edge_rate=_rate(samples, before, seconds, inference.INFERENCES, location="edge"),
        cloud_rate=cloud_rate,
        hard_ratio=(hard or 0.0) / put if put else None,
        p50=quantile(0.5, latency),
        p95=quantile(0.95, latency),
        errors=_total(samples, inference.ERRORS, inference.SERVED_ERRORS),
        pushes=_value(samples, library.PUSH_ATTEMPTS),
        failed_pushes=_value(samples, library.PUSH_FAILURES),
        spooled=_value(samples, library.SPOOL_ENTRIES),
    )


def quantile(q: float, buckets: Dict[float, float]) -> Optional[float]:
    """Estimated as Prometheus does: linear within the bucket.

    Args:
        q: 0 to 1.
        buckets: cumulative counts by upper bound, infinity included.

    Returns:
        ``None`` where nothing was counted; the highest finite bound where it lies above that.
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


def _value(samples: Samples, metric: Metric, **labels: str) -> Optional[float]:
    return samples.get((metric.name, tuple(sorted(labels.items()))))


def _total(samples: Samples, *metrics: Metric) -> Optional[float]:
    names = {metric.name for metric in metrics}
    values = [value for (name, _), value in samples.items() if name in names]
    return sum(values) if values else None


def _rate(samples: Samples, before: Samples, seconds: float, metric: Metric, **labels: str) -> Optional[float]:
    value = _value(samples, metric, **labels)
    if value is None or seconds <= 0:
        return None
    grown = value - (_value(before, metric, **labels) or 0.0)
    return (grown if grown >= 0 else value) / seconds  # a counter that fell began anew


def _latency(samples: Samples, before: Samples) -> Dict[float, float]:
    """Buckets of inferences, at the edge, in the cloud and for others together."""
    names = {f"{metric.name}_bucket" for metric in (inference.DURATION, inference.SERVED_DURATION)}
    whole: Dict[float, float] = {}
    recent: Dict[float, float] = {}
    for (each, labels), value in samples.items():
        if each in names:
            bound = float(dict(labels)["le"])
            whole[bound] = whole.get(bound, 0.0) + value
            recent[bound] = recent.get(bound, 0.0) + value - before.get((each, labels), 0.0)
    return recent if recent and recent[max(recent)] > 0 and min(recent.values()) >= 0 else whole


def _done(samples: Samples) -> Optional[float]:
    epoch, epochs = _value(samples, learning.TRAINING_EPOCH), _value(samples, learning.TRAINING_EPOCHS)
    if epoch is None or not epochs:
        return None
    is_over = _value(samples, learning.TRAINING_REMAINING) == 0
    return min(1.0, (epoch if is_over else epoch - 1) / epochs)


def _state(samples: Samples) -> str:
    """Stage and its status, or what a federated worker is at, with the round."""
    stage = _on(samples, learning.TASK_STAGE)
    if stage:
        statuses = {own["task_stage"]: own["status"] for own in _all_on(samples, learning.STAGE_STATUS)}
        return f"{stage} {statuses.get(stage, '')}".strip()
    round_ = _value(samples, federated.AGGREGATION_ROUND)
    return f"{_on(samples, federated.TRAIN_STATUS)} {'' if round_ is None else f'round {round_:.0f}'}".strip()


def _on(samples: Samples, metric: Metric) -> str:
    return next((own[metric.state_label] for own in _all_on(samples, metric)), "")


def _all_on(samples: Samples, metric: Metric) -> Iterable[Dict[str, str]]:
    return (dict(labels) for (name, labels), value in samples.items() if name == metric.name and value == 1)
