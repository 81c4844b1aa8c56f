"""The cluster's side: pods, containers, jobs, nodes, custom resources."""

from __future__ import annotations

from stackgen._kinds import KINDS
from stackgen.dashboards._board import board
from stackgen.dashboards._panels import bars, lines, numbers, rows, states, times, written
from stackgen.dashboards._queries import RESOURCE, controllers_lines, numbered
from stackgen.dashboards._resource import condition

_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_CONTAINER = ("waiting", "running", "terminated")
_PODS = 'sedna:pods:info{namespace=~"$namespace",task=~"$task"}'
_OF_TASK = f"* on (namespace, pod) group_left (task, worker_type) {_PODS}"
_CPU = 'rate(container_cpu_usage_seconds_total{container!=""}[$__rate_interval])'
_FAILED = f'{{__name__=~"sedna_(object|feature|reid|video)_.+_condition",{RESOURCE},condition="Failed"}}'


def _of_pods(series: str) -> str:
    return f"({series} {_OF_TASK})"


def _of_resources(suffix: str) -> str:
    return f'{{__name__=~"sedna_.+_{suffix}",{RESOURCE}}}'


_TIMES = rows(
    "StartTime and CompletionTime",
    "When each task started and completed. For incremental and lifelong learning, whose controllers set no completion "
    "time, it is when the latest deployment completed.",
    {
        "start": f"max by (namespace, name) ({_of_resources('start_time_seconds')}) * 1000",
        "completion": f"max by (namespace, name) ({_of_resources('completion_time_seconds')}) * 1000",
    },
    {"namespace": "Namespace", "name": "Task", "Value #start": "Start", "Value #completion": "Completion"},
)

_RESOURCES = [
    *(condition(kind.camel) for kind in KINDS if kind.snake.split("_")[1] in ("inference", "learning")),
    times(_TIMES, "Start", "Completion"),
    lines(
        "SampleNum",
        "Number of samples of each dataset.",
        {"{{name}}": 'sedna_dataset_samples{namespace=~"$namespace"}'},
    ),
    states(
        "Phase of federated tasks",
        "Phase in the status of the custom resource.",
        {
            "{{name}}": numbered(
                (f'sedna_federated_learning_job_phase{{{RESOURCE},phase="{phase}"}}' for phase in _PHASES[:4]),
                "namespace, name",
            )
        },
        _PHASES[:4],
    ),
    lines(
        "Pods counted by the controllers",
        "Active, succeeded and failed pods of each task.",
        {"{{name}} active": _of_resources("active_pods"), "{{name}} failed": _of_resources("failed_pods")},
    ),
    bars(
        "Other failed resources",
        "Resources of object search, tracking, feature extraction, reid and video analytics whose newest condition is "
        "Failed.",
        {"{{customresource_kind}}": f"sum by (customresource_kind) ({_FAILED})"},
        span=12,
    ),
]

_POD_PANELS = [
    numbers("Pods", "Pods of the selected tasks.", {"pods": f"count({_PODS})"}),
    numbers(
        "Restarts",
        "Container restarts in the time range of the dashboard.",
        {"restarts": f"sum(increase(kube_pod_container_status_restarts_total[$__range]) {_OF_TASK})"},
    ),
    numbers(
        "Nodes not ready",
        "Nodes that are not ready, such as an edge node behind a broken link.",
        {"nodes": 'sum(kube_node_status_condition{condition="Ready",status="true"} == bool 0)'},
    ),
    numbers(
        "Jobs succeeded",
        "K8sJobStatus: succeeded pods of Kubernetes Jobs. Sedna creates no Jobs; yours are shown.",
        {"succeeded": 'sum(kube_job_status_succeeded{namespace=~"$namespace"})'},
    ),
    numbers(
        "Jobs failed",
        "K8sJobStatus: failed pods of Kubernetes Jobs.",
        {"failed": 'sum(kube_job_status_failed{namespace=~"$namespace"})'},
    ),
    states(
        "PodStatus",
        "Phase of each pod.",
        {
            "{{pod}}": numbered(
                (_of_pods(f'kube_pod_status_phase{{phase="{phase}"}}') for phase in _PHASES), "namespace, pod"
            )
        },
        _PHASES,
    ),
    states(
        "ContainerStatus",
        "State of each container.",
        {
            "{{pod}} {{container}}": numbered(
                (_of_pods(f"kube_pod_container_status_{state}") for state in _CONTAINER),
                "namespace, pod, container",
                join="+",
            )
        },
        _CONTAINER,
    ),
    lines("CPU", "CPU cores used by each pod.", {"{{pod}}": f"sum by (namespace, pod) ({_CPU}) {_OF_TASK}"}),
    lines(
        "Memory",
        "Working set of each pod.",
        {"{{pod}}": f'sum by (namespace, pod) (container_memory_working_set_bytes{{container!=""}}) {_OF_TASK}'},
        "bytes",
    ),
    rows(
        "Pods",
        "Task, node and address of each pod.",
        {"pods": f"kube_pod_info {_OF_TASK}"},
        {"task": "Task", "worker_type": "Worker type", "pod": "Pod", "node": "Node", "pod_ip": "Address"},
    ),
    lines(
        "Sedna's own pods",
        "Memory of the Global Manager and the Local Controllers.",
        {"{{pod}}": 'sum by (pod) (container_memory_working_set_bytes{namespace="sedna",container!=""})'},
        "bytes",
    ),
    written(
        "Logs of Sedna's controllers",
        "Log lines of the Global Manager, the Local Controllers and the knowledge base, newest first.",
        controllers_lines(),
    ),
]

BOARD = board(
    "sedna-system",
    "System",
    "Custom resources, pods, containers, jobs and nodes, by kube-state-metrics and the kubelets.",
    {"Custom resources": _RESOURCES, "Pods, containers, jobs, nodes": _POD_PANELS},
)
