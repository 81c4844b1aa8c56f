"""The real kube-state-metrics tells of Sedna's resources what it has to, by the exported configuration."""

from __future__ import annotations

import copy
import re

import pytest
from cluster import RESOURCES, cluster as running_cluster
from stackgen.kube_state_metrics import RULES
from support import eventually, free_port

from sedna_metrics.stack import export


@pytest.fixture(scope="module")
def cluster(kube_state_metrics, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    export(folder / "stack")
    config, log = folder / "stack" / "kube-state-metrics" / "custom-resource-state.yml", folder / "log"
    with running_cluster(kube_state_metrics, config, free_port(), free_port(), log) as cluster:
        eventually(cluster.is_complete, 60)
        yield cluster
    assert "Failed to watch" not in log.read_text()


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
