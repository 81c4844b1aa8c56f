"""A cluster as kube-state-metrics sees it: Sedna's resources, pods and a job in the stand-in for the API server."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import requests
import yaml
from kube_api import KubeApi, definition
from prometheus_client.parser import text_string_to_metric_families as parse_text
from stackgen._kinds import GROUP, KINDS, VERSION
from stackgen.kube_state_metrics import POD_LABELS

RESOURCES = {
    resource["kind"]: resource
    for path in sorted((Path(__file__).parent / "sedna_resources").glob("*.yaml"))
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
                {"name": "train-worker", "image": "x", "ready": True, "restartCount": 2, "state": {"running": {}}}
            ],
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "edge-node", "uid": "6"},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
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
COMPLETED = [
    {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "metadata": {"name": "completed", "namespace": "edge", "uid": kind},
        "status": {
            "conditions": [{"stage": "Deploy", "type": "Completed", "lastTransitionTime": "2025-11-03T03:00:05Z"}]
        },
    }
    for kind in ("IncrementalLearningJob", "LifelongLearningJob")
]
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
    "kube_node_status_condition",
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

    def __init__(self, api: KubeApi, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.api = api
        self.url = url
        self._process = process
        self._log = log

    def is_complete(self) -> bool:
        """Whether all that is there is told."""
        assert self._process.poll() is None, self._log.read_text()
        try:
            return {name for name, *_ in self.samples()} >= FIRST
        except requests.ConnectionError:
            return False

    def samples(self) -> Dict[Tuple[Any, ...], float]:
        """Values by name and labels; the labels that kube-state-metrics puts on every custom resource are left out."""
        text = requests.get(f"{self.url}/metrics", timeout=10).text
        return {
            (sample.name, *sorted((k, v) for k, v in sample.labels.items() if not k.startswith("customresource_"))): (
                sample.value
            )
            for family in parse_text(text)
            for sample in family.samples
        }

    def value(self, metric: str, /, **labels: str) -> Optional[float]:
        """The value of one sample."""
        return self.samples().get((metric, *sorted(labels.items())))

    def states(self, metric: str, label: str, /, **labels: str) -> List[str]:
        """The states that are on."""
        return [
            dict(rest)[label]
            for (each, *rest), value in self.samples().items()
            if each == metric and value == 1 and labels.items() <= dict(rest).items()
        ]


@contextmanager
def cluster(program: str, config: Path, port: int, telemetry_port: int, log: Path) -> Iterator[Cluster]:
    """Runs the real kube-state-metrics (``program``) with the exported ``config``, until its block ends."""
    with KubeApi() as api:
        for kind in ["Dataset", "Model", *(kind.camel for kind in KINDS)]:
            api.put(definition(kind, GROUP, VERSION))
        for resource in (*RESOURCES.values(), *WORKERS, *COMPLETED, LIFELONG, TRACKING, REID):
            api.put(resource)
        command = [
            program, "--apiserver", api.url, "--resources", "pods,jobs,nodes",
            "--metric-labels-allowlist", f"pods=[{POD_LABELS}]",
            "--custom-resource-state-config-file", str(config),
            "--host", "127.0.0.1", "--port", str(port),
            "--telemetry-host", "127.0.0.1", "--telemetry-port", str(telemetry_port),
        ]  # fmt: skip
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield Cluster(api, f"http://127.0.0.1:{port}", process, log)
        finally:
            process.kill()
            process.wait()
