"""The exported stack at work in a cluster: real control plane, real programs; only the kubelet is a stand-in.

Grafana, Loki and Alloy are in no package that the tests could take: their pods are scheduled, and stay Pending.
"""

from __future__ import annotations

import sys
from pathlib import Path

import controlplane
import global_manager
import kubelet
import pytest
import servers
from stack import query
from stackgen._kinds import KINDS
from support import AT_LENGTH, eventually

from sedna_metrics.cli import main

EDGE = "node-role.kubernetes.io/edge"
TESTS = Path(__file__).resolve().parent

pytestmark = [
    pytest.mark.skipif(bool(controlplane.missing(controlplane.ALL)), reason="make test-cluster builds the programs"),
    pytest.mark.skipif(bool(kubelet.problem()), reason=kubelet.problem()),
]
at_length = pytest.mark.skipif(not AT_LENGTH, reason="make test-cluster takes some minutes for this")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, kube_state_metrics):
    folder = tmp_path_factory.mktemp("cluster")
    network = kubelet.Network()
    try:
        with controlplane.running(folder, network.address, with_controllers=True) as plane:
            nodes = {"cloud-1": {}, "edge-1": {EDGE: ""}}
            programs = {
                "prom/prometheus": [str(controlplane.CACHE / "prometheus")],
                "prom/pushgateway": [servers.find("prometheus-pushgateway")],
                "registry.k8s.io/kube-state-metrics/kube-state-metrics": [kube_state_metrics],
                "example/worker": [sys.executable, str(TESTS / "cluster_worker.py")],
            }
            running = kubelet.Kubelet(plane, network, folder, nodes, programs)
            try:
                yield Cluster(plane, running, folder)
            finally:
                running.close()
    finally:
        network.close()


class Cluster:
    """A cluster, and what the tests ask it."""

    def __init__(self, plane, running, folder):
        self.plane, self.kubelet, self.folder = plane, running, folder

    def pod(self, prefix, namespace="monitoring"):
        """The stand-in's pod with that beginning of its name."""
        return next(
            pod
            for pod in list(self.kubelet.pods.values())
            if pod.metadata["name"].startswith(prefix) and pod.metadata["namespace"] == namespace
        )

    def query(self, expression):
        """What the Prometheus in the cluster answers."""
        return query(f"http://{self.pod('prometheus-').address}:9090", expression)


@pytest.fixture(scope="module")
def stack(cluster):
    """All that a stranger does, and volumes, which a StorageClass would provide."""
    folder = cluster.folder / "stack"
    assert main(["stack", "export", str(folder)]) == 0
    for number in range(2):
        cluster.plane.call("POST", "/api/v1/persistentvolumes", {
            "metadata": {"name": f"disk-{number}"},
            "spec": {
                "capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/disk"},
            },
        })  # fmt: skip
    cluster.plane.kubectl("apply", "--validate=strict", "-k", str(folder))
    return cluster


def test_every_program_runs_with_its_exported_arguments(stack):
    """Whether ready by its own probe; those that are not here are scheduled at least."""

    def states():
        found = {}
        for pod in stack.plane.get("pods", "--namespace", "monitoring")["items"]:
            status = pod["status"].get("containerStatuses", [{}])[0]
            reason = status.get("state", {}).get("waiting", {}).get("reason")
            on = (pod["metadata"]["labels"]["app"], pod["spec"].get("nodeName"))
            found[on] = "ready" if status.get("ready") else reason
        return found

    def is_so():
        assert stack.kubelet.failure is None
        return states() == wanted

    wanted = {
        **{(app, "cloud-1"): "ready" for app in ("prometheus", "pushgateway", "kube-state-metrics")},
        ("sedna-edge-agent", "edge-1"): "ready",
        **{(app, "cloud-1"): "ImagePullBackOff" for app in ("alloy", "grafana", "loki")},
        ("alloy", "edge-1"): "ImagePullBackOff",
    }
    try:
        eventually(is_so, 60)
    except AssertionError:
        assert states() == wanted


def worker(*arguments, node="", image="example/worker:v1", **spec):
    """A pod template of a Sedna resource, as the examples of Sedna have it."""
    containers = [{"name": "worker", "image": image, "args": list(arguments)}]
    return {"template": {"spec": {**({"nodeName": node} if node else {}), "containers": containers, **spec}}}


SERVE = ("joint_inference", "serve")
LEARNINGS = ("incremental", "lifelong")
FEDERATED = ("federated_learning", "train", "6", "ok")
RESOURCES = {
    "JointInferenceService": {"edgeWorker": worker(*SERVE, node="edge-1"), "cloudWorker": worker(*SERVE)},
    **{
        f"{name.capitalize()}LearningJob": {
            "trainSpec": worker(f"{name}_learning", "train", "3", "ok", node="edge-1"),
            "evalSpec": worker(f"{name}_learning", "train", "3", "ok", node="edge-1"),
            "deploySpec": worker(f"{name}_learning", "serve", node="edge-1"),
        }
        for name in LEARNINGS
    },
    "FederatedLearningJob": {
        "aggregationWorker": worker(*FEDERATED),
        "trainingWorkers": [{"dataset": {"name": "edge-1-data"}, **worker(*FEDERATED, node="edge-1")}],
    },
    "ObjectSearchService": {
        "userWorker": worker(*SERVE), "reidWorkers": {"replicas": 1, **worker(*SERVE)},
        "trackingWorkers": [worker(*SERVE, node="edge-1")],
    },
    "FeatureExtractionService": {"replicas": 1, **worker(*SERVE)},
    "ReidJob": worker(*SERVE, restartPolicy="Always"),
    "VideoAnalyticsJob": worker("incremental_learning", "train", "3", "ok", restartPolicy="OnFailure"),
}  # fmt: skip


def task(kind):
    return f"the-{kind.lower()}"


@pytest.fixture(scope="module")
def workers(stack):
    """The injection's policy, a Global Manager, and a resource of each kind, whose status differs."""
    plane = stack.plane
    for kind in ("Dataset", "Model", *(kind.camel for kind in KINDS)):
        plane.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", global_manager.definition(kind))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    plane.kubectl("apply", "--validate=strict", "-f", str(stack.folder / "stack" / "inject" / "policy.yml"))
    eventually(lambda: is_injected(plane), 60)
    manager = global_manager.GlobalManager(plane)
    for kind, spec in RESOURCES.items():
        create(plane, kind, task(kind), spec)
    yield stack
    manager.close()


def is_injected(plane):
    pod = {"metadata": {"generateName": "x-", "labels": {"reidjob.sedna.io/name": "x"}}, **worker("x")["template"]}
    made = plane.call("POST", "/api/v1/namespaces/default/pods?dryRun=All", pod)
    return "env" in made["spec"]["containers"][0]


def create(plane, kind, name, spec):
    resource = {"apiVersion": "sedna.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    assert plane.call("POST", f"/apis/sedna.io/v1alpha1/namespaces/default/{kind.lower()}s", resource)


def test_workers_of_every_kind_are_discovered(workers):
    wanted = {
        ("jointinferenceservice", "edge", "edge-1"), ("jointinferenceservice", "cloud", "cloud-1"),
        ("objectsearchservice", "userworker", "cloud-1"), ("objectsearchservice", "reidworker", "cloud-1"),
        ("objectsearchservice", "trackingworker", "edge-1"), ("featureextractionservice", "fe", "cloud-1"),
        ("reidjob", "reid", "cloud-1"),
    }  # fmt: skip

    def found(job):
        return {
            (labels["kind"], labels["worker_type"], labels["node"])
            for labels, value in workers.query(f'up{{job="{job}",namespace="default"}}')
            if value == 1
        }

    until_equal(lambda: found("sedna-workers"), wanted)
    # On the node's network they are found by the edge agent, which writes to the cloud.
    until_equal(
        lambda: found("sedna-edge-workers"),
        {("incrementallearningjob", "inference", "edge-1"), ("lifelonglearningjob", "inference", "edge-1")},
    )
    # Jobs push.
    pushed = 'count by (task, worker_type) (push_time_seconds{job="sedna-worker"})'
    until_equal(
        lambda: {(labels["task"], labels["worker_type"]) for labels, _ in workers.query(pushed)},
        {
            *((task(f"{each}LearningJob"), stage) for each in LEARNINGS for stage in ("train", "eval")),
            (task("FederatedLearningJob"), "train"), (task("FederatedLearningJob"), "aggregation"),
            (task("VideoAnalyticsJob"), "unknown"),
        },
    )  # fmt: skip


def until_equal(check, wanted, seconds=60):
    try:
        eventually(lambda: check() == wanted, seconds)
    except AssertionError:
        assert check() == wanted
