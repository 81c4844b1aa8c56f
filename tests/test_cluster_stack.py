"""The exported stack at work in a cluster: real control plane, real programs; only the kubelet is a stand-in.

Grafana, Loki and Alloy are in no package that the tests could take: their pods are scheduled, and stay Pending.
"""

from __future__ import annotations

import sys
from pathlib import Path

import controlplane
import kubelet
import pytest
import servers
from stack import query
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
