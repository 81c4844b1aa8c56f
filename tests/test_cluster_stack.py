"""The exported stack at work in a cluster: real control plane, real programs; only the kubelet is a stand-in.

Grafana, Loki and Alloy are in no package that the tests could take: their pods are scheduled, and stay Pending.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import controlplane
import global_manager
import kubelet
import pytest
import requests
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
        """The stand-in's pod with that beginning of its name, as soon as it is there."""

        def found():
            pods = list(self.kubelet.pods.values())
            names = ((pod.metadata["namespace"], pod.metadata["name"], pod) for pod in pods)
            return next((pod for space, name, pod in names if space == namespace and name.startswith(prefix)), None)

        return eventually(found, 60)

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
LEARNINGS = () if global_manager.BINARY else ("incremental", "lifelong")
with_learning = pytest.mark.skipif(not LEARNINGS, reason="only the stand-in for the Global Manager runs learning jobs")
FEDERATED = ("federated_learning", "train", "6", "ok")
DATA, MODEL = {"dataset": {"name": "the-data"}}, {"model": {"name": "the-data"}}
RESOURCES = {
    "JointInferenceService": {
        "edgeWorker": {**worker(*SERVE, node="edge-1"), **MODEL, "hardExampleMining": {"name": "IBT"}},
        "cloudWorker": {**worker(*SERVE), **MODEL},
    },
    **{
        f"{name.capitalize()}LearningJob": {
            "trainSpec": worker(f"{name}_learning", "train", "3", "ok", node="edge-1"),
            "evalSpec": worker(f"{name}_learning", "train", "3", "ok", node="edge-1"),
            "deploySpec": worker(f"{name}_learning", "serve", node="edge-1"),
        }
        for name in LEARNINGS
    },
    "FederatedLearningJob": {
        "aggregationWorker": {**worker(*FEDERATED), **MODEL},
        "trainingWorkers": [{**worker(*FEDERATED, node="edge-1"), **DATA}],
    },
    "ObjectSearchService": {
        "userWorker": worker(*SERVE), "reidWorkers": {"replicas": 1, "selector": {}, **worker(*SERVE)},
        "trackingWorkers": [worker(*SERVE, node="edge-1")],
    },
    "FeatureExtractionService": {"replicas": 1, "selector": {}, **worker(*SERVE), **MODEL},
    "ReidJob": worker(*SERVE, restartPolicy="Always"),
    "VideoAnalyticsJob": {**worker("incremental_learning", "train", "3", "ok", restartPolicy="OnFailure"), **MODEL},
}  # fmt: skip


def task(kind):
    return f"the-{kind.lower()}"


@pytest.fixture(scope="module")
def workers(stack):
    """The injection's policy, a Global Manager, and a resource of each kind, whose status differs."""
    plane = stack.plane
    global_manager.define(plane)
    plane.kubectl("apply", "--validate=strict", "-f", str(stack.folder / "stack" / "inject" / "policy.yml"))
    eventually(lambda: is_injected(plane), 60)
    create(plane, "Dataset", "the-data", {"nodeName": "edge-1", "format": "txt", "url": "/data/data.txt"})
    create(plane, "Model", "the-data", {"format": "pb", "url": "/model/model.pb"})
    real = global_manager.BINARY
    manager = global_manager.RealGlobalManager(plane, stack.folder) if real else global_manager.GlobalManager(plane)
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
        lambda: found("sedna-edge-workers"), {(f"{name}learningjob", "inference", "edge-1") for name in LEARNINGS}
    )
    # Jobs push.
    pushed = 'count by (task, worker_type) (push_time_seconds{job="sedna-worker"})'
    until_equal(
        lambda: {(labels["task"], labels["worker_type"]) for labels, _ in workers.query(pushed)},
        {
            *((task(f"{each}LearningJob"), stage) for each in LEARNINGS for stage in ("train", "eval")),
            (task("FederatedLearningJob"), "train"), (task("FederatedLearningJob"), "aggregation"),
            (task("VideoAnalyticsJob"), "videoanalytics"),
        },
    )  # fmt: skip


def until_equal(check, wanted, seconds=60):
    try:
        eventually(lambda: check() == wanted, seconds)
    except AssertionError:
        assert check() == wanted


def test_each_documented_series_of_a_resource_is_there_and_right(workers):
    """With docs/operator.md, "Custom resources", and docs/kubernetes.md for what stays empty."""
    for kind, status in (
        ("Dataset", {"numberOfSamples": 1200, "updateTime": "2026-01-02T03:04:05Z"}),
        ("Model", {"updateTime": "2026-01-02T03:04:05Z"}),
    ):
        set_status(workers.plane, kind, "the-data", status)
    knowledge = {
        "AIClasses": {"numberOfAIClasses": 4}, "AIModels": {"numberOfAIModels": 3},
        "samples": {"numberOfUnseenSample": 20, "numberOfLabeledUnseenSample": 12},
    }  # fmt: skip
    if LEARNINGS:
        set_status(workers.plane, "LifelongLearningJob", task("LifelongLearningJob"), {"knowledgeBase": knowledge})
    reported = {"metrics": [{"key": "inferenceNumber", "value": "7"}]}
    set_status(workers.plane, "JointInferenceService", task("JointInferenceService"), reported)

    def states():
        found = workers.query('{__name__=~"sedna_.+_(condition|phase)"} == 1')
        return {
            (labels["name"], labels.get("condition") or labels["phase"], labels.get("task_stage", ""))
            for labels, _ in found
        }

    learning = [task(f"{each}LearningJob") for each in LEARNINGS]
    services = {kind: status_of(workers.plane, kind) for kind in ("JointInferenceService", "FeatureExtractionService")}
    until_equal(states, {
        # Global Manager looks at them once, perhaps before the pods run.
        *((task(kind), each["conditions"][-1]["type"], "") for kind, each in services.items()),
        *((name, "Waiting", "train") for name in learning), *((name, "Completed", "deploy") for name in learning),
        (task("FederatedLearningJob"), "Succeeded", ""), (task("FederatedLearningJob"), "Complete", ""),
        (task("ReidJob"), "Running", ""),
        (task("VideoAnalyticsJob"), "Succeeded", ""), (task("VideoAnalyticsJob"), "Completed", ""),
    })  # fmt: skip

    def numbers():
        names = "_pods|_samples|_ai_classes|_ai_models|_reported"
        return {
            labels["__name__"]: value
            for labels, value in workers.query(f'{{__name__=~"sedna_.+({names})",name=~"the-.+"}}')
        }

    counts = {
        kind: (each["active"], each["failed"])
        for kind, each in zip(("joint_inference_service", "feature_extraction_service"), services.values())
    }
    jobs = {"federated_learning_job": (0, 2, 0), "reid_job": (1, 0, 0), "video_analytics_job": (0, 1, 0)}
    until_equal(numbers, {
        **{f"sedna_{kind}_{what}_pods": count
           for kind, both in counts.items() for what, count in zip(("active", "failed"), both)},
        **{f"sedna_{kind}_{what}_pods": count
           for kind, three in jobs.items() for what, count in zip(("active", "succeeded", "failed"), three)},
        "sedna_dataset_samples": 1200,
        "sedna_joint_inference_service_reported": 7,
        **({
            "sedna_lifelong_learning_job_ai_classes": 4, "sedna_lifelong_learning_job_ai_models": 3,
            "sedna_lifelong_learning_job_unseen_samples": 20, "sedna_lifelong_learning_job_labeled_unseen_samples": 12,
        } if LEARNINGS else {}),
    })  # fmt: skip
    now = time.time()
    times = {
        "start": {*RESOURCES} - {"ObjectSearchService"},
        "completion": {
            "FederatedLearningJob",
            "VideoAnalyticsJob",
            *(f"{name.capitalize()}LearningJob" for name in LEARNINGS),
        },
    }
    for which, kinds in times.items():
        asked = f'{{__name__=~"sedna_.+_{which}_time_seconds"}}'
        # The rule for the kinds without a completion time is evaluated a little later.
        until_equal(lambda asked=asked: {labels["name"] for labels, _ in workers.query(asked)}, set(map(task, kinds)))
        assert all(now - 300 < value <= now for _, value in workers.query(asked))
    info = workers.query("sedna_dataset_info")[0][0]
    assert (info["node"], info["format"]) == ("edge-1", "txt")
    assert {value for _, value in workers.query('{__name__=~"sedna_(dataset|model)_update_time_seconds"}')} == {
        1767323045
    }
    whose = {labels["kind"] for labels, _ in workers.query("sedna:pods:info")}
    assert whose == {kind.lower() for kind in RESOURCES}


def status_of(plane, kind):
    """The status that the Global Manager has written."""
    path = f"/apis/sedna.io/v1alpha1/namespaces/default/{kind.lower()}s/{task(kind)}"
    return {"active": 0, "failed": 0, **plane.call("GET", path)["status"]}


def set_status(plane, kind, name, status):
    path = f"/apis/sedna.io/v1alpha1/namespaces/default/{kind.lower()}s/{name}/status"
    assert plane.call("PATCH", path, {"status": status})


def alerts(cluster, name, state="pending|firing"):
    """Whose alerts of that name are on, by state."""
    found = cluster.query(f'ALERTS{{alertname="{name}",alertstate=~"{state}"}}')
    return {
        (labels.get("task") or labels.get("name") or labels.get("pod"), labels["alertstate"]) for labels, _ in found
    }


def scraped(cluster, kind):
    """Pods of the kind that answer."""
    return {labels["pod"] for labels, value in cluster.query(f'up{{job="sedna-workers",kind="{kind}"}}') if value}


@at_length
def test_a_service_that_is_marked_failed_while_its_pods_run_gives_no_alert(workers):
    if not workers.query('sedna_joint_inference_service_condition{condition="Failed"} == 1'):
        assert global_manager.BINARY
        pytest.skip("this time the Global Manager looked when the Deployments were ready")
    until_equal(lambda: alerts(workers, "SednaResourceFailed"), set())


@at_length
def test_a_job_that_fails_gives_alerts(workers):
    fails = worker("federated_learning", "train", "3", "fail", restartPolicy="Never")
    create(workers.plane, "FederatedLearningJob", "fails", {
        "aggregationWorker": {**fails, **MODEL}, "trainingWorkers": [{**fails, **DATA}],
    })  # fmt: skip
    until_equal(lambda: alerts(workers, "SednaStageFailed"), {("fails", "firing")})
    until_equal(lambda: alerts(workers, "SednaResourceFailed"), {("fails", "pending")})
    until_equal(lambda: alerts(workers, "SednaResourceFailed"), {("fails", "firing")}, 120)
    # Those that ended well have not stopped pushing without having ended well.
    assert alerts(workers, "SednaPushGroupStale") == set()
    workers.plane.kubectl("delete", "federatedlearningjob", "fails")
    until_equal(lambda: alerts(workers, "SednaResourceFailed"), set())


@at_length
def test_a_worker_whose_image_is_pulled_is_not_gone(workers):
    create(
        workers.plane,
        "FeatureExtractionService",
        "slow",
        {"replicas": 1, "selector": {}, **worker(*SERVE, image="example/slow:v1"), **MODEL},
    )
    assert workers.pod("slow-", "default").address
    time.sleep(35)  # two scrapes and evaluations
    assert len(scraped(workers, "featureextractionservice")) == 1
    assert alerts(workers, "SednaWorkerGone") == set()
    workers.kubelet.programs["example/slow"] = workers.kubelet.programs["example/worker"]
    eventually(lambda: len(scraped(workers, "featureextractionservice")) == 2, 60)
    workers.plane.kubectl("delete", "featureextractionservice", "slow")
    eventually(lambda: len(scraped(workers, "featureextractionservice")) == 1, 60)


@at_length
def test_scaling_up_and_down_is_followed_without_an_alert(workers):
    name = f"{task('JointInferenceService')}-deployment-edge"
    for replicas in (3, 1):
        workers.plane.kubectl("scale", "deployment", name, f"--replicas={replicas}")
        eventually(lambda: len(scraped(workers, "jointinferenceservice")) == replicas + 1, 60)  # noqa: B023
        assert alerts(workers, "SednaWorkerGone", "firing") == set()
    until_equal(lambda: alerts(workers, "SednaWorkerGone"), set())


@at_length
def test_a_worker_that_hangs_is_gone(workers):
    pod = workers.pod(task("FeatureExtractionService"), "default")
    process = pod.containers[0].process
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        until_equal(lambda: alerts(workers, "SednaWorkerGone"), {(pod.metadata["name"], "pending")})
    finally:
        os.killpg(process.pid, signal.SIGCONT)
    until_equal(lambda: alerts(workers, "SednaWorkerGone"), set())


@at_length
def test_a_resource_that_is_deleted_and_made_anew(workers):
    kind = "JointInferenceService"
    before = scraped(workers, kind.lower())
    workers.plane.kubectl("delete", kind.lower(), task(kind))
    series = f'{{__name__=~"sedna_.+_condition",name="{task(kind)}"}}'
    eventually(lambda: not scraped(workers, kind.lower()) and not workers.query(series), 90)
    assert alerts(workers, "SednaWorkerGone", "firing") == set()
    create(workers.plane, kind, task(kind), RESOURCES[kind])
    eventually(lambda: len(scraped(workers, kind.lower())) == 2 and workers.query(series), 60)
    assert not before & scraped(workers, kind.lower())


@at_length
@with_learning
def test_what_the_edge_saw_while_the_cloud_was_away_arrives(workers):
    path = "/apis/apps/v1/namespaces/monitoring/statefulsets/prometheus"
    workers.plane.call("PATCH", path, {"spec": {"replicas": 0}})
    eventually(lambda: not any(pod.metadata["name"] == "prometheus-0" for pod in workers.kubelet.pods.values()), 60)
    began = time.time()
    time.sleep(45)
    workers.plane.call("PATCH", path, {"spec": {"replicas": 1}})
    eventually(lambda: workers.pod("prometheus-").phase() == "Running", 60)
    back = time.time()
    samples = f'sedna_hard_samples_total{{job="sedna-edge-workers",task="{task("IncrementalLearningJob")}"}}[10m]'

    def seen():
        url = f"http://{workers.pod('prometheus-').address}:9090/api/v1/query"
        try:
            answer = requests.get(url, params={"query": samples}, timeout=5).json()
        except requests.RequestException:
            return None
        times = [at for each in answer["data"]["result"] for at, _ in each["values"]]
        return times if times and times[-1] > back + 15 else None

    times = eventually(seen, 120)
    assert times[0] < began
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert max(gaps) < 17, "a sample every 15 s, while the cloud was away too"
