"""Every query of every dashboard and rule gives data, and the right one: the examples' tasks, in a real Prometheus.

The configuration is the exported one; only addresses, paths and intervals are this machine's. kube-state-metrics is the
real one too, where it is at hand, and asks a stand-in for the API server.
"""

from __future__ import annotations

import math
import re
import time

import pytest
import requests
from cluster import cluster as running_cluster
from dashboards import filled, queries
from stack import Stack, demo
from stackgen.rules import ALERTS, RECORDINGS
from support import eventually, free_port

from sedna_metrics.catalogue import ALL

# Why a panel may have no data here. Each is: board (or *), part of the query, reason.
WITHOUT_DATA = (
    ("system", "container_", "containers' CPU and memory come from kubelets, of which there are none"),
    ("overview", 'ALERTS{alertname=~"Sedna.+",alertstate="firing"}', "no alert fires, which is the point"),
)
BOARDS = {
    "digits-joint-inference": "joint_inference",
    "digits-incremental": "incremental_learning",
    "digits-lifelong": "lifelong_learning",
    "digits-federated": "federated_learning",
}


@pytest.fixture(scope="module")
def proof(kube_state_metrics_or_reason, tmp_path_factory):
    """The examples have run, and Prometheus has seen it."""
    folder = tmp_path_factory.mktemp("proof")
    port = free_port()
    stack = Stack(folder, port)
    patch = pytest.MonkeyPatch()
    patch.setenv("SEDNA_METRICS_SD_DIR", str(stack.targets))
    found, _ = kube_state_metrics_or_reason
    config = folder / "stack" / "kube-state-metrics" / "custom-resource-state.yml"
    beside = running_cluster(found, config, port, free_port(), folder / "log") if found else None
    try:
        if beside:
            beside.__enter__()
        tasks = stack.demo(folder)
        try:
            demo.watch(tasks)
            demo.settle(tasks)
            if beside:
                eventually(lambda: stack.query("sedna:pods:info") and stack.query("sedna_dataset_samples"), 60)
            time.sleep(3)  # rates need two scrapes of what was seen last, and rules their turn
            yield stack, tasks
        finally:
            tasks.stop()
    finally:
        patch.undo()
        if beside:
            beside.__exit__(None, None, None)
        stack.close()


def test_each_query_of_each_dashboard_gives_data(proof, kube_state_metrics_or_reason):
    stack, _ = proof
    _, reason = kube_state_metrics_or_reason
    empty = []
    for query in queries("prometheus"):
        if any(query.board == board and part in query.expr for board, part, _ in WITHOUT_DATA):
            continue
        if reason and re.search(r"kube_|sedna:pods|sedna_dataset|sedna_\w+_(job|service)_|sedna_\.\+", query.expr):
            continue
        if not stack.query(filled(query.expr)):
            empty.append(f"{query.board}: {query.panel}: {query.expr}")
    assert empty == []


def test_buckets_of_pushed_and_of_scraped_workers_are_the_same(proof):
    found = proof[0].query("count by (le) (sedna_inference_duration_seconds_bucket)")
    assert len(found) == 17
    assert {value for _, value in found} == {4}, "a scraped worker's edge and cloud, and two pushed ones'"


@pytest.mark.parametrize("exception", WITHOUT_DATA, ids=lambda exception: exception[1][:20])
def test_an_exception_is_still_needed(proof, exception):
    board, part, _ = exception
    concerned = [query for query in queries("prometheus") if query.board == board and part in query.expr]
    assert concerned
    assert not all(proof[0].query(filled(query.expr)) for query in concerned)


@pytest.mark.parametrize("task", BOARDS)
def test_what_a_panel_with_a_name_of_the_proposal_shows_is_what_happened(proof, task):
    stack, tasks = proof
    wrong, looked_at = [], 0
    for worker, rows in tasks.truth().items():
        if tasks.processes[worker][0] != task:
            continue
        for row in rows:
            shown = [query for query in queries("prometheus") if _shows(query, task, row)]
            results = [stack.query(filled(query.expr, task=task, worker=worker)) for query in shown]
            looked_at += bool(row["proposal"])
            if row["proposal"] and not any(_is_there(row, result) for result in results):
                wrong.append((row, results))
    assert wrong == []
    assert looked_at >= 3


# What is in the stand-in for the API server: board's panel, labels, value.
OF_THE_CLUSTER = (
    ("PodStatus", {"pod": "helmet-detection-demo-train-x1"}, 2),  # Running
    ("ContainerStatus", {"pod": "helmet-detection-demo-train-x1", "container": "train-worker"}, 2),  # running
    ("StageConditionStatus: IncrementalLearningJob", {"name": "helmet-detection-demo", "task_stage": "deploy"}, 1),
    ("StageConditionStatus: LifelongLearningJob", {"name": "atcii", "task_stage": "eval"}, 4),  # Running
    ("Condition: FederatedLearningJob", {"name": "surface-defect-detection"}, 2),  # Complete
    ("Condition: JointInferenceService", {"name": "helmet-detection-inference-example"}, 2),  # Running
    ("Phase of federated tasks", {"name": "surface-defect-detection"}, 3),  # Succeeded
    ("StartTime and CompletionTime", {"name": "surface-defect-detection"}, 1762146600_000),
    ("StartTime and CompletionTime", {"name": "surface-defect-detection"}, 1762148537_000),
    ("StartTime and CompletionTime", {"name": "completed"}, 1762138805_000),  # by the rules
    ("SampleNum", {"name": "incremental-dataset"}, 1200),
    ("Pods", {}, 1),
    ("Jobs succeeded", {}, 1),
    ("Jobs failed", {}, 0),
    ("Nodes not ready", {}, 1),
)


@pytest.mark.parametrize(("panel", "labels", "expected"), OF_THE_CLUSTER)
def test_what_the_system_board_shows_is_what_the_cluster_has(proof, kube_state_metrics, panel, labels, expected):
    shown = [
        each
        for query in queries("prometheus")
        if (query.board, query.panel) == ("system", panel)
        for each in proof[0].query(filled(query.expr))
    ]
    assert (expected, True) in [(value, labels.items() <= found.items()) for found, value in shown], shown


def _shows(query, task, row):
    """Whether the panel is the one of the proposal's name, and the query about its metric."""
    words = re.findall(r"\w+", query.panel)
    recorded = {"sedna_eval_score": "sedna:eval_score:latest"}.get(row["series"], row["series"])
    return query.board == BOARDS[task] and row["proposal"] in words and recorded in query.expr


def _is_there(row, result):
    metric = next(metric for metric in ALL if metric.name == row["series"])
    own = {name: value for name, value in row["labels"].items() if name != metric.state_label}
    expected = metric.states.index(row["labels"][metric.state_label]) + 1 if metric.states else row["value"]
    if metric.form == "info":
        return any(own.items() <= labels.items() for labels, _ in result)
    return any(
        math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)
        for labels, value in result
        if all(labels.get(name, wanted) == wanted for name, wanted in own.items())
    )


def test_each_rule_is_evaluated_without_an_error_and_gives_data(proof, kube_state_metrics_or_reason):
    stack, _ = proof
    _, reason = kube_state_metrics_or_reason
    groups = requests.get(f"{stack.url}/api/v1/rules", timeout=10).json()["data"]["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert set(health) == {rule.record for rule in RECORDINGS} | {alert.name for alert in ALERTS}
    assert set(health.values()) == {"ok"}
    of_cluster = {rule.record for rule in RECORDINGS if re.search(r"kube_|_(job|service)_", rule.expr)}
    for rule in RECORDINGS:
        if not (reason and rule.record in of_cluster):
            assert stack.query(rule.record), rule.record
