"""kube-state-metrics: what it shows of Sedna's custom resources, and what it has to be allowed for that."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from stackgen._kinds import GROUP, KINDS, VERSION, Kind
from stackgen._yaml import dump, dump_all

_NEWEST = ["status", "conditions", "-1"]  # conditions are appended, and never trimmed


def _gauge(name: str, description: str, path: Sequence[str], **more: Any) -> Dict[str, Any]:
    return {"name": name, "help": description, "each": {"type": "Gauge", "gauge": {"path": list(path), **more}}}


def _states(name: str, description: str, label: str, path: Sequence[str], states: Sequence[str]) -> Dict[str, Any]:
    state_set = {"labelName": label, "path": list(path), "list": list(states)}
    return {"name": name, "help": description, "each": {"type": "StateSet", "stateSet": state_set}}


def _of_kind(kind: Kind) -> List[Dict[str, Any]]:
    condition = _states(
        "condition", "StageConditionStatus: The newest condition.", "condition", [*_NEWEST, "type"], kind.conditions
    )
    if kind.has_stages:
        condition["labelsFromPath"] = {"task_stage": [*_NEWEST, "stage"]}
    metrics = [
        condition,
        _gauge("condition_since_seconds", "Unix time of the newest condition.", [*_NEWEST, kind.changed]),
        _gauge("start_time_seconds", "StartTime: Unix time at which its controller began.", ["status", "startTime"]),
    ]
    if kind.has_stages:
        # The Global Manager appends the next round's Train/Waiting in the second of Deploy/Completed.
        before = ["status", "conditions", "-2"]
        previous = _states(
            "previous_condition", "The condition before the newest.", "condition", [*before, "type"], kind.conditions
        )
        previous["labelsFromPath"] = {"task_stage": [*before, "stage"]}
        metrics += [
            previous,
            _gauge("previous_condition_since_seconds", "Unix time of that condition.", [*before, kind.changed]),
        ]
    if kind.completes:
        metrics.append(
            _gauge("completion_time_seconds", "CompletionTime: Unix time of its end.", ["status", "completionTime"])
        )
    if kind.phases:
        metrics.append(_states("phase", "Phase of the resource.", "phase", ["status", "phase"], kind.phases))
    metrics += [_gauge(f"{state}_pods", f"Pods that are {state}.", ["status", state]) for state in kind.pods]
    return metrics


_KNOWLEDGE = ["status", "knowledgeBase"]
_MORE: Dict[str, List[Dict[str, Any]]] = {
    "JointInferenceService": [
        _gauge(
            "reported",
            "What the Local Controller reported; unlike sedna_inferences_total it counts a hard sample twice.",
            ["status", "metrics"],
            labelsFromPath={"metric": ["key"]},
            valueFrom=["value"],
        )
    ],
    "LifelongLearningJob": [
        _gauge("ai_classes", "Classes that the knowledge base knows.", [*_KNOWLEDGE, "AIClasses", "numberOfAIClasses"]),
        _gauge("ai_models", "Models of the knowledge base.", [*_KNOWLEDGE, "AIModels", "numberOfAIModels"]),
        _gauge("unseen_samples", "Samples of unseen tasks.", [*_KNOWLEDGE, "samples", "numberOfUnseenSample"]),
        _gauge(
            "labeled_unseen_samples",
            "Samples of unseen tasks that have labels by now.",
            [*_KNOWLEDGE, "samples", "numberOfLabeledUnseenSample"],
        ),
    ],
}


def _resource(camel: str, snake: str, metrics: List[Dict[str, Any]]) -> Dict[str, Any]:
    return {
        "groupVersionKind": {"group": GROUP, "version": VERSION, "kind": camel},
        "metricNamePrefix": "sedna",  # without one the names changed with kube-state-metrics 2.7 and 2.8
        "labelsFromPath": {"namespace": ["metadata", "namespace"], "name": ["metadata", "name"]},
        "errorLogV": 5,  # unset fields are no errors
        "metrics": [{**metric, "name": f"{snake}_{metric['name']}"} for metric in metrics],
    }


_DATASET = _resource(
    "Dataset",
    "dataset",
    [
        _gauge("samples", "SampleNum: Samples of the dataset.", ["status", "numberOfSamples"]),
        _gauge("update_time_seconds", "Unix time at which the dataset last changed.", ["status", "updateTime"]),
        {
            "name": "info",
            "help": "Where the dataset is.",
            "each": {
                "type": "Info",
                "info": {"labelsFromPath": {"node": ["spec", "nodeName"], "format": ["spec", "format"]}},
            },
        },
    ],
)
# Its scores are lists in a string, which kube-state-metrics cannot read, and its URL may be a secret.
_MODEL = _resource(
    "Model",
    "model",
    [_gauge("update_time_seconds", "Unix time at which the model last changed.", ["status", "updateTime"])],
)

CONFIG: Dict[str, Any] = {
    "kind": "CustomResourceStateMetrics",
    "spec": {
        "resources": [
            _DATASET,
            _MODEL,
            *(_resource(kind.camel, kind.snake, _of_kind(kind) + _MORE.get(kind.camel, [])) for kind in KINDS),
        ]
    },
}

RULES = [
    {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["list", "watch"]},
    {
        "apiGroups": [GROUP],
        "resources": ["datasets", "models", *(f"{kind.lower}s" for kind in KINDS)],
        "verbs": ["list", "watch"],
    },
]
"""What kube-state-metrics has to be allowed beyond what its own installation allows it."""

POD_LABELS = ",".join(f"{kind.lower}.{GROUP}/{label}" for kind in KINDS for label in ("name", "worker-type"))
"""The Global Manager's labels, for ``--metric-labels-allowlist=pods=[...]``: they tell whose pod it is."""

STAGES_IN_LOWER_CASE = [{"source_labels": ["task_stage"], "target_label": "task_stage", "action": "lowercase"}]
"""Relabelling of what is scraped: the resources say Train where the workers say train."""

_ROLE: Dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "kube-state-metrics-sedna"},
    "rules": RULES,
}
_BINDING: Dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "kube-state-metrics-sedna"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "kube-state-metrics-sedna"},
    "subjects": [{"kind": "ServiceAccount", "name": "kube-state-metrics", "namespace": "monitoring"}],
}

FILES = {
    "kube-state-metrics/custom-resource-state.yml": dump(
        CONFIG, "Sedna's custom resources for kube-state-metrics (--custom-resource-state-config-file)."
    ),
    "kube-state-metrics/rbac.yml": dump_all(
        [_ROLE, _BINDING], "What kube-state-metrics has to be allowed beyond its own installation."
    ),
}
