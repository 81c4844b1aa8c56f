"""Recording rules and alerts. Names come from the catalogue's entries, so a metric that is gone breaks the import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Tuple

from sedna_metrics.catalogue import federated, inference, learning, library, worker
from stackgen._kinds import KINDS, Kind
from stackgen._yaml import dump

_TASK = "namespace, task"


@dataclass(frozen=True)
class Recording:
    """A series that Prometheus computes. Ratios are these, never gauges of a worker."""

    record: str
    expr: str


@dataclass(frozen=True)
class Alert:
    """A condition that a person has to know of; ``hold`` is how long it must last, as Prometheus writes durations."""

    name: str
    expr: str
    hold: str
    severity: str
    summary: str
    description: str


def _rate(name: str, by: str = _TASK) -> str:
    return f"sum by ({by}) (rate({name}[5m]))"


def _quantile(quantile: str, name: str, by: str) -> str:
    return f"histogram_quantile({quantile}, sum by ({by}, le) (rate({name}_bucket[5m])))"


def _completion(kind: Kind) -> Recording:
    """Of a kind whose controller never sets it: when its last round was deployed.

    Deploy/Completed is the newest condition, or the one before Train/Waiting of the next round.
    """

    def since(which: str) -> str:
        resource = f"sedna_{kind.snake}_{which}"
        done = f'{resource}{{task_stage=~"(?i:deploy)",condition="Completed"}} == 1'
        return f"{resource}_since_seconds and on (namespace, name) {done}"

    return Recording(
        f"sedna_{kind.snake}_completion_time_seconds",  # CompletionTime; the name is the one of the kinds that have it
        f"max by (namespace, name) ({since('condition')} or {since('previous_condition')})",
    )


def _pods_of(kind: Kind) -> str:
    label = f"label_{kind.label}"
    named = f'label_replace(kube_pod_labels{{{label}_name!=""}}, "task", "$1", "{label}_name", "(.*)")'
    typed = f'label_replace({named}, "worker_type", "$1", "{label}_worker_type", "(.*)")'
    return f'label_replace({typed}, "kind", "{kind.lower}", "", "")'


_SAMPLES = _rate(inference.SAMPLES.name)
_SCORE = learning.EVAL_SCORE.name
_LOSS = learning.TRAINING_LOSS.name
_REMAINING = learning.TRAINING_REMAINING.name
_NODES = federated.TRAIN_NODES.name
_GROUP = f"{_TASK}, worker_type, instance"  # what pushes are grouped by
_ACTIVE = (
    f'{learning.STAGE_STATUS.name}{{status=~"starting|running"}} == 1 or '
    f'{federated.TRAIN_STATUS.name}{{status=~"waiting|running"}} == 1'
)
_FAILED = f'{{__name__=~"{learning.STAGE_STATUS.name}|{federated.TRAIN_STATUS.name}",status="failed"}} == 1'
_STALE = 'time() - push_time_seconds{job="sedna-worker"} > 300'
"""Groups of workers that do not push any more: what they pushed last stays on the Pushgateway."""
_EVALUATION = f"{_TASK}, worker, instance, metric"
_SAMPLES_SEEN = f"max by ({_EVALUATION}) (count_over_time({_SCORE}[1d]))"


def _alive(expr: str) -> str:
    return f"({expr}) unless on ({_GROUP}) ({_STALE})"


_POD_READY = 'kube_pod_status_ready{condition="true"}'
_READY = f"min by ({_TASK}) (sedna:pods:info * on (namespace, pod) group_left {_POD_READY}) == 1"

RECORDINGS: Tuple[Recording, ...] = (
    Recording("sedna:inferences:rate5m", _rate(inference.INFERENCES.name, f"{_TASK}, location")),
    Recording("sedna:inference_errors:rate5m", _rate(inference.ERRORS.name, f"{_TASK}, location")),
    Recording("sedna:inference_samples:rate5m", _SAMPLES),
    # "> 0" leaves an idle task without a ratio rather than with NaN.
    Recording("sedna:hard_samples:ratio_rate5m", f"{_rate(inference.HARD_SAMPLES.name)} / ({_SAMPLES} > 0)"),
    Recording(
        "sedna:uploads:ratio_rate5m",
        f'sum by ({_TASK}) (rate({inference.INFERENCES.name}{{location="cloud"}}[5m])) / ({_SAMPLES} > 0)',
    ),
    Recording(
        "sedna:inference_duration_seconds:p50_5m", _quantile("0.5", inference.DURATION.name, f"{_TASK}, location")
    ),
    Recording(
        "sedna:inference_duration_seconds:p95_5m", _quantile("0.95", inference.DURATION.name, f"{_TASK}, location")
    ),
    Recording(
        "sedna:eval_score:latest",
        # Of several evaluations, the one whose series is the youngest: each worker has a new name.
        f"max by ({_TASK}, model, metric) (max by ({_EVALUATION}, model) ({_SCORE}) and on ({_EVALUATION}) "
        f"({_SAMPLES_SEEN} <= on ({_TASK}, metric) group_left min by ({_TASK}, metric) ({_SAMPLES_SEEN})))",
    ),
    Recording(
        "sedna:eval_score:gain",
        f'max by ({_TASK}, metric) (sedna:eval_score:latest{{model="new"}}) '
        f'- max by ({_TASK}, metric) (sedna:eval_score:latest{{model="old"}})',
    ),
    Recording(
        "sedna:pods:info",
        f"max by (namespace, pod, kind, task, worker_type) ({' or '.join(_pods_of(kind) for kind in KINDS)})",
    ),
    *(_completion(kind) for kind in KINDS if kind.has_stages),
)

ALERTS: Tuple[Alert, ...] = (
    Alert(
        "SednaWorkerGone",
        'up{job=~"sedna-workers|sedna-edge-workers"} == 0',
        "2m",
        "critical",
        "A Sedna worker is down",
        "No scrape of {{ $labels.instance }} has succeeded for two minutes.",
    ),
    Alert(
        "SednaLossNotFinite",
        # A counter that starts at 1 has no increase yet; the loss itself tells at once.
        f"{_LOSS} != {_LOSS} or abs({_LOSS}) == Inf or increase({learning.NONFINITE_LOSSES.name}[10m]) > 0",
        "0s",
        "warning",
        "The training loss is NaN or infinite",
        "Task {{ $labels.task }}, worker {{ $labels.worker }}.",
    ),
    Alert(
        "SednaTrainingNoProgress",
        # Estimated completion minus remaining time is when the worker last reported. An epoch may take long: the time
        # of two epochs and half an hour must have passed.
        _alive(
            f"(time() - ({learning.TRAINING_COMPLETION.name} - {_REMAINING})) > 1800 + 2 * {_REMAINING} / "
            f"clamp_min({learning.TRAINING_EPOCHS.name} - {learning.TRAINING_EPOCH.name} + 1, 1) and {_REMAINING} > 0"
        ),
        "5m",
        "warning",
        "Training makes no progress",
        "Task {{ $labels.task }}, worker {{ $labels.worker }}: no report for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "SednaTrainingOverdue",
        _alive(f"time() - {learning.TRAINING_COMPLETION.name} > 600 and {_REMAINING} > 0"),
        "5m",
        "warning",
        "Training is overdue",
        "Task {{ $labels.task }}, worker {{ $labels.worker }}: {{ $value | humanizeDuration }} past its estimated end.",
    ),
    Alert(
        "SednaDeployNotOk",
        f'{learning.DEPLOY_STATUS.name}{{status="not_ok"}} == 1',
        "1m",
        "warning",
        "A model was not deployed",
        "Task {{ $labels.task }}, worker {{ $labels.worker }}.",
    ),
    Alert(
        "SednaFederatedNodesMissing",
        # A completed worker silences it, unless others still train: the group of an old run says "completed" for ever.
        f"{_NODES} < max_over_time({_NODES}[1h]) unless on ({_TASK}) "
        f'({federated.TRAIN_STATUS.name}{{status="completed"}} == 1 unless on ({_TASK}) '
        f'{federated.TRAIN_STATUS.name}{{status=~"waiting|running"}} == 1)',
        "5m",
        "warning",
        "A federated task lost nodes",
        "Task {{ $labels.task }}: {{ $value }} nodes take part, fewer than within the last hour.",
    ),
    Alert(
        "SednaPushGroupStale",
        # The group of a batch worker that ended well, or has failed, stays until its next run replaces it. Services
        # remove theirs, and may be stopped at any time.
        'time() - push_time_seconds{job="sedna-worker",'
        'worker_type=~"train|eval|aggregation|reid|videoanalytics|unknown"} > 300 '
        f"unless on ({_GROUP}) ({worker.LAST_SUCCESS.name} > 0 unless on ({_GROUP}) ({_ACTIVE})) "
        f"unless on ({_GROUP}) ({_FAILED})",
        "1m",
        "warning",
        "A worker stopped pushing before its work ended",
        "Task {{ $labels.task }}, {{ $labels.worker_type }} on {{ $labels.instance }}.",
    ),
    Alert(
        "SednaStageFailed",
        _FAILED,
        "0s",
        "warning",
        "A stage of a task has failed",
        "Task {{ $labels.task }}, worker {{ $labels.worker }}: {{ $labels.task_stage }}.",
    ),
    Alert(
        "SednaResourceFailed",
        # The Global Manager marks services Failed before their Deployments are up, and never looks again: the pods say.
        '{__name__=~"sedna_.+_condition",condition="Failed"} == 1 unless on (namespace, name) '
        f'label_replace({_READY}, "name", "$1", "task", "(.*)")',
        "1m",
        "warning",
        "Sedna marked a resource as Failed",
        "{{ $labels.customresource_kind }} {{ $labels.namespace }}/{{ $labels.name }}: {{ $labels.task_stage }}.",
    ),
    Alert(
        "SednaSpoolNotDrained",
        _alive(f"min_over_time({library.SPOOL_ENTRIES.name}[30m]) > 0"),
        "10m",
        "warning",
        "Undelivered pushes are on a node's disk",
        "{{ $value }} on the node of {{ $labels.worker }}: is the Pushgateway reachable? See sedna-metrics flush.",
    ),
)


RULES: Dict[str, Any] = {
    "groups": [
        {"name": "sedna-recordings", "rules": [{"record": rule.record, "expr": rule.expr} for rule in RECORDINGS]},
        {
            "name": "sedna-alerts",
            "rules": [
                {
                    "alert": alert.name,
                    "expr": alert.expr,
                    "for": alert.hold,
                    "labels": {"severity": alert.severity},
                    "annotations": {"summary": alert.summary, "description": alert.description},
                }
                for alert in ALERTS
            ],
        },
    ]
}

FILES = {"prometheus/rules.yml": dump(RULES, "Recording rules and alerts.")}
