"""The real kube-state-metrics tells of Sedna's resources what it has to, by the exported configuration."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path

import pytest
import requests
import yaml
from conftest import eventually, free_port
from kube_api import KubeApi, definition
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sedna_metrics.stack import export
from sedna_metrics.stack.generate._kinds import GROUP, KINDS, VERSION
from sedna_metrics.stack.generate.kube_state_metrics import POD_LABELS, RULES

RESOURCES = {
    resource["kind"]: resource
    for path in sorted((Path(__file__).parent / "kube_state_metrics" / "resources").glob("*.yaml"))
    for resource in [yaml.load(path.read_text(), Loader=yaml.SafeLoader)]
}
WORKERS = [
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "helmet-detection-demo-train-x1",
            "namespace": "default",
            "uid": "1",
            "labels": {
                "incrementallearningjob.sedna.io/name": "helmet-detection-demo",
                "incrementallearningjob.sedna.io/worker-type": "train",
            },
        },
        "spec": {"nodeName": "edge-node", "containers": [{"name": "train-worker", "image": "x"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": "train-worker", "image": "x", "ready": True, "restartCount": 2, "state": {"running": {}}},
            ],
        },
    },
    {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "prepare-data", "namespace": "default", "uid": "2"},
        "spec": {"completions": 1, "template": {"spec": {"containers": []}}},
        "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    },
]
LIFELONG = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "LifelongLearningJob",
    "metadata": {"name": "atcii", "namespace": "edge", "uid": "3"},
    "status": {
        "startTime": "2025-11-03T02:00:05Z",
        "conditions": [
            {"stage": "Train", "type": "Waiting", "lastTransitionTime": "2025-11-03T02:00:05Z"},
            {"stage": "Eval", "type": "Running", "lastTransitionTime": "2025-11-03T03:00:05Z"},
        ],
        "knowledgeBase": {
            "AIClasses": {"numberOfAIClasses": 4},
            "AIModels": {"numberOfAIModels": 3, "listOfAIModels": [{"modelID": "secret"}]},
            "samples": {"numberOfUnseenSample": 20, "numberOfLabeledUnseenSample": 12},
        },
    },
}  # fmt: skip
TRACKING = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "ObjectTrackingService",
    "metadata": {"name": "tracking", "namespace": "edge", "uid": "4"},
    "status": {"active": 1, "failed": 0, "conditions": [{"type": "Pending"}]},
}
REID = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "ReidJob",
    "metadata": {"name": "reid", "namespace": "edge", "uid": "5"},
    "status": {"phase": "Running", "active": 1, "conditions": [{"type": "Running"}]},
}

# One series of each resource that is there: each is asked for by itself.
FIRST = {
    "kube_pod_labels",
    "kube_job_status_succeeded",
    "sedna_dataset_samples",
    "sedna_model_update_time_seconds",
    "sedna_incremental_learning_job_condition",
    "sedna_federated_learning_job_condition",
    "sedna_joint_inference_service_condition",
    "sedna_lifelong_learning_job_condition",
    "sedna_object_tracking_service_condition",
    "sedna_reid_job_condition",
}


class Cluster:
    """The stand-in for the API server, and the real kube-state-metrics that asks it."""

    def __init__(self, api, url):
        self.api = api
        self.url = url

    def samples(self):
        """Values by name and labels; the labels that kube-state-metrics puts on every custom resource are left out."""
        text = requests.get(f"{self.url}/metrics", timeout=10).text
        return {
            (sample.name, *sorted((k, v) for k, v in sample.labels.items() if not k.startswith("customresource_"))): (
                sample.value
            )
            for family in parse_text(text)
            for sample in family.samples
        }

    def value(self, metric, /, **labels):
        return self.samples().get((metric, *sorted(labels.items())))

    def states(self, metric, label, /, **labels):
        """The states that are on."""
        return [
            dict(rest)[label]
            for (each, *rest), value in self.samples().items()
            if each == metric and value == 1 and labels.items() <= dict(rest).items()
        ]


@pytest.fixture(scope="module")
def cluster(kube_state_metrics, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    export(folder / "stack")
    with KubeApi() as api:
        for kind in ["Dataset", "Model", *(kind.camel for kind in KINDS)]:
            api.put(definition(kind, GROUP, VERSION))
        for resource in (*RESOURCES.values(), *WORKERS, LIFELONG, TRACKING, REID):
            api.put(resource)
        port = free_port()
        command = [
            kube_state_metrics, "--apiserver", api.url, "--resources", "pods,jobs",
            "--metric-labels-allowlist", f"pods=[{POD_LABELS}]",
            "--custom-resource-state-config-file", str(folder / "stack/kube-state-metrics/custom-resource-state.yml"),
            "--host", "127.0.0.1", "--port", str(port),
            "--telemetry-host", "127.0.0.1", "--telemetry-port", str(free_port()),
        ]  # fmt: skip
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        cluster = Cluster(api, f"http://127.0.0.1:{port}")
        try:

            def everything_is_told():
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    return {name for name, *_ in cluster.samples()} >= FIRST
                except requests.ConnectionError:
                    return False

            eventually(everything_is_told, 60)
            yield cluster
        finally:
            process.kill()
            process.wait()
    assert "Failed to watch" not in (folder / "log").read_text()


IL = {"namespace": "default", "name": "helmet-detection-demo"}
FL = {"namespace": "default", "name": "surface-defect-detection"}
JI = {"namespace": "default", "name": "helmet-detection-inference-example"}
LL = {"namespace": "edge", "name": "atcii"}
POD = {"namespace": "default", "pod": "helmet-detection-demo-train-x1", "uid": "1"}


def test_what_is_told_of_resources_pods_and_jobs(cluster):
    value, states = cluster.value, cluster.states
    # The newest condition, not the first, which is always Waiting of Train.
    assert states("sedna_incremental_learning_job_condition", "condition", **IL, task_stage="Deploy") == ["Waiting"]
    assert states("sedna_lifelong_learning_job_condition", "condition", **LL, task_stage="Eval") == ["Running"]
    assert states("sedna_federated_learning_job_condition", "condition", **FL) == ["Complete"]
    assert states("sedna_joint_inference_service_condition", "condition", **JI) == ["Running"]
    assert states("sedna_object_tracking_service_condition", "condition", name="tracking") == ["Pending"]
    assert states("sedna_reid_job_condition", "condition", name="reid") == ["Running"]
    assert states("sedna_reid_job_phase", "phase", name="reid") == ["Running"]
    assert states("sedna_federated_learning_job_phase", "phase", **FL) == ["Succeeded"]
    # date -d 2025-11-03T02:00:05Z +%s, and so on
    assert value("sedna_incremental_learning_job_start_time_seconds", **IL) == 1762135205
    assert value("sedna_lifelong_learning_job_start_time_seconds", **LL) == 1762135205
    assert value("sedna_incremental_learning_job_condition_since_seconds", **IL) == 1762137401
    assert value("sedna_federated_learning_job_start_time_seconds", **FL) == 1762146600
    assert value("sedna_federated_learning_job_completion_time_seconds", **FL) == 1762148537
    assert value("sedna_joint_inference_service_start_time_seconds", **JI) == 1762149600
    assert value("sedna_federated_learning_job_succeeded_pods", **FL) == 3
    assert value("sedna_federated_learning_job_failed_pods", **FL) == 0
    assert value("sedna_joint_inference_service_active_pods", **JI) == 2
    assert value("sedna_joint_inference_service_reported", **JI, metric="hardExampleNumber") == 204
    assert value("sedna_dataset_samples", namespace="default", name="incremental-dataset") == 1200
    assert value("sedna_dataset_update_time_seconds", namespace="default", name="incremental-dataset") == 1762137600
    assert value("sedna_dataset_info", namespace="default", name="incremental-dataset", node="edge-node", format="txt")
    assert value("sedna_model_update_time_seconds", namespace="default", name="surface-defect-detection-model")
    assert value("sedna_lifelong_learning_job_ai_classes", **LL) == 4
    assert value("sedna_lifelong_learning_job_ai_models", **LL) == 3
    assert value("sedna_lifelong_learning_job_unseen_samples", **LL) == 20
    assert value("sedna_lifelong_learning_job_labeled_unseen_samples", **LL) == 12
    # PodStatus, ContainerStatus, K8sJobStatus
    assert states("kube_pod_status_phase", "phase", **POD) == ["Running"]
    assert value("kube_pod_container_status_running", **POD, container="train-worker") == 1
    assert value("kube_pod_container_status_waiting", **POD, container="train-worker") == 0
    assert value("kube_pod_container_status_terminated", **POD, container="train-worker") == 0
    assert value("kube_job_status_succeeded", namespace="default", job_name="prepare-data") == 1
    assert value("kube_job_status_failed", namespace="default", job_name="prepare-data") == 0
    # The Global Manager's labels, which say whose pod it is
    labels = next(dict(rest) for (name, *rest) in cluster.samples() if name == "kube_pod_labels")
    assert labels["label_incrementallearningjob_sedna_io_name"] == "helmet-detection-demo"
    assert labels["label_incrementallearningjob_sedna_io_worker_type"] == "train"


def test_a_change_of_status_is_told(cluster):
    changed = copy.deepcopy(RESOURCES["IncrementalLearningJob"])
    changed["status"]["conditions"] += [
        {"stage": "Deploy", "type": "Ready", "lastTransitionTime": "2025-11-03T02:37:00Z"},
        {"stage": "Deploy", "type": "Completed", "lastTransitionTime": "2025-11-03T02:38:00Z"},
    ]
    cluster.api.put(changed)
    name = "sedna_incremental_learning_job_condition"
    eventually(lambda: cluster.states(name, "condition", **IL, task_stage="Deploy") == ["Completed"])
    assert cluster.value("sedna_incremental_learning_job_condition_since_seconds", **IL) == 1762137480
    cluster.api.delete(changed)
    eventually(lambda: cluster.states(name, "condition", **IL) == [])
    cluster.api.put(RESOURCES["IncrementalLearningJob"])
    eventually(lambda: cluster.states(name, "condition", **IL, task_stage="Deploy") == ["Waiting"])


def test_labels_are_few_and_hold_no_status_as_json(cluster):
    labels = {key for (name, *rest) in cluster.samples() if name.startswith("sedna_") for key, _ in rest}
    assert labels == {"namespace", "name", "condition", "task_stage", "phase", "metric", "node", "format"}
    assert not any(re.search("[{}]", value) for (_, *rest) in cluster.samples() for _, value in rest)


def test_what_is_asked_of_the_server_is_what_the_role_allows(cluster):
    allowed = {(group, resource) for rule in RULES for group in rule["apiGroups"] for resource in rule["resources"]}
    asked = {
        (path.split("/")[2], path.split("/")[-1])
        for path in cluster.api.asked
        if path.startswith("/apis/") and "." in path
    }
    assert asked == allowed
