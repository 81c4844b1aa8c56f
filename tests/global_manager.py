"""Sedna's Global Manager: the real one, if the environment names it, else a stand-in that does what it does.

``SEDNA_GM`` names the binary (``go build ./cmd/sedna-gm`` in kubeedge/sedna) and ``SEDNA_CRDS`` the folder of its
definitions (``build/crds``). Incremental and lifelong learning also need a Local Controller, so they have the stand-in
only. Its names, labels, variables, networks and restart policies are those of Sedna 0.7 (``pkg/globalmanager``). It
leaves out models and datasets, which need storage; a stage begins when the one before has ended.
"""

from __future__ import annotations

import copy
import os
import random
import string
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from controlplane import ControlPlane
from stackgen._kinds import GROUP, KINDS, VERSION

Resource = Dict[str, Any]
SECONDS = 0.5
BINARY, DEFINITIONS = os.environ.get("SEDNA_GM", ""), os.environ.get("SEDNA_CRDS", "")


def define(plane: ControlPlane) -> None:
    """Add Sedna's kinds to the cluster."""
    if BINARY:
        plane.kubectl("create", "-f", DEFINITIONS)
    else:
        for kind in ("Dataset", "Model", *(kind.camel for kind in KINDS)):
            plane.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(kind))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all")


class RealGlobalManager:
    """A process of the real one, until it is closed."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        config = folder / "global-manager.yml"
        # It asks for a web socket's port; no Local Controller calls it.
        config.write_text(
            f"kubeConfig: {plane.config(folder / 'global-manager.kubeconfig')}\n"
            "namespace: default\nwebsocket: {address: 127.0.0.1, port: 9000}\n"
            "localController: {server: http://127.0.0.1:9100}\n"
        )
        with (folder / "global-manager.log").open("w") as log:
            self._process = subprocess.Popen([BINARY, f"--config={config}"], stdout=log, stderr=log)

    def close(self) -> None:
        ended = self._process.poll()
        self._process.kill()
        self._process.wait()
        assert ended is None, f"the Global Manager ended with {ended}"


def definition(kind: str) -> Resource:
    """The kind's definition: any spec, and a status that is written by itself."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    version = {
        "name": VERSION, "served": True, "storage": True, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _suffix() -> str:
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=5))


class GlobalManager:
    """Looks after the resources of the namespace ``default`` in a thread, until it is closed."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._made: Dict[str, str] = {}
        self.failure: Optional[BaseException] = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._stopped.wait(SECONDS):
                for kind in KINDS:
                    for resource in self._plane.call("GET", self._path(kind.camel))["items"]:
                        if "deletionTimestamp" not in resource["metadata"]:
                            getattr(self, f"_{kind.snake}", self._nothing)({**resource, "kind": kind.camel})
        except BaseException as failure:
            self.failure = failure
            raise

    def _nothing(self, resource: Resource) -> None:
        """ObjectTrackingService has no controller."""

    @staticmethod
    def _path(kind: str) -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/default/{kind.lower()}s"

    # What is made.

    def _is_new(self, resource: Resource, what: str = "") -> bool:
        uid = resource["metadata"]["uid"] + what
        is_new = uid not in self._made
        self._made[uid] = what
        return is_new

    @staticmethod
    def _labels(resource: Resource, worker_type: str) -> Dict[str, str]:
        prefix = f"{resource['kind'].lower()}.{GROUP}"
        metadata = resource["metadata"]
        labels = {f"{prefix}/name": metadata["name"], f"{prefix}/uid": metadata["uid"]}
        return {**labels, f"{prefix}/worker-type": worker_type.lower()} if worker_type else labels

    def _template(
        self, resource: Resource, template: Resource, worker_type: str, env: Dict[str, str]
    ) -> Tuple[Resource, Resource]:
        metadata = resource["metadata"]
        owner = {
            "apiVersion": f"{GROUP}/{VERSION}", "kind": resource["kind"], "name": metadata["name"],
            "uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True,
        }  # fmt: skip
        spec = copy.deepcopy(template["spec"])
        for container in spec["containers"]:
            container.setdefault("env", []).extend({"name": name, "value": value} for name, value in env.items())
        made = {"namespace": "default", "ownerReferences": [owner], "labels": self._labels(resource, worker_type)}
        return made, spec

    def _pod(
        self, resource: Resource, template: Resource, worker_type: str, env: Dict[str, str],
        on_node: bool = False, restart: str = "",
    ) -> None:  # fmt: skip
        metadata, spec = self._template(resource, template, worker_type, env)
        metadata["generateName"] = f"{resource['metadata']['name']}-{worker_type.lower()}-"
        if restart:
            spec.setdefault("restartPolicy", restart)
        if on_node:
            spec["hostNetwork"] = True
        self._plane.call("POST", "/api/v1/namespaces/default/pods", {"metadata": metadata, "spec": spec})

    def _deployment(self, resource: Resource, of: Resource, worker_type: str, env: Dict[str, str]) -> None:
        metadata, spec = self._template(resource, of["template"], worker_type, env)
        labels = metadata["labels"]
        labels["app.sedna.io"] = f"{resource['metadata']['name']}-{worker_type}-svc"
        metadata["name"] = f"{resource['metadata']['name']}-deployment-{worker_type.lower()}"
        self._plane.call("POST", "/apis/apps/v1/namespaces/default/deployments", {
            "metadata": metadata,
            "spec": {
                "replicas": of.get("replicas", 1), "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        })  # fmt: skip

    def _env(self, resource: Resource, worker: str, variable: str = "JOB_NAME") -> Dict[str, str]:
        return {
            "NAMESPACE": "default", variable: resource["metadata"]["name"], "WORKER_NAME": worker + _suffix(),
            "LC_SERVER": "http://127.0.0.1:9100",
        }  # fmt: skip

    # What is reported.

    def _report(self, resource: Resource, **status: Any) -> None:
        old = resource.get("status", {})
        if any(old.get(key) != value for key, value in status.items()):
            path = f"{self._path(resource['kind'])}/{resource['metadata']['name']}/status"
            self._plane.call("PATCH", path, {"status": {"startTime": old.get("startTime", now()), **status}})

    def _condition(self, resource: Resource, *new: Dict[str, str]) -> None:
        conditions = resource.get("status", {}).get("conditions", [])
        made = [{"status": "True", "lastTransitionTime": now(), "lastHeartbeatTime": now(), **each} for each in new]
        self._report(resource, conditions=[*conditions, *made])

    def _phases(self, resource: Resource, worker_type: str = "") -> List[str]:
        selector = ",".join(f"{key}={value}" for key, value in self._labels(resource, worker_type).items())
        found = self._plane.call("GET", f"/api/v1/namespaces/default/pods?labelSelector={selector}")["items"]
        return [each["status"].get("phase", "Pending") for each in found]

    # The kinds.

    def _joint_inference_service(self, resource: Resource) -> None:
        if not self._is_new(resource):
            return
        for worker_type, part in (("Cloud", "cloudWorker"), ("Edge", "edgeWorker")):
            env = self._env(resource, f"{worker_type.lower()}worker-", "SERVICE_NAME")
            if worker_type == "Cloud":
                env = {**env, "BIG_MODEL_BIND_PORT": "5000"}
                del env["LC_SERVER"]
            else:
                env.update(BIG_MODEL_IP=f"{resource['metadata']['name']}-cloud.default", BIG_MODEL_PORT="5000")
            self._deployment(resource, {"template": resource["spec"][part]["template"]}, worker_type, env)
        # It looks before the Deployments have conditions, and never again.
        self._report(resource, active=0, failed=2)
        self._condition(resource, {"type": "Failed"})

    def _feature_extraction_service(self, resource: Resource) -> None:
        if self._is_new(resource):
            self._deployment(resource, resource["spec"], "fe", self._env(resource, "", "SERVICE_NAME"))
            self._report(resource, active=1, failed=0)
            self._condition(resource, {"type": "Running"})

    def _object_search_service(self, resource: Resource) -> None:
        """Its status is never written."""
        if not self._is_new(resource):
            return
        spec = resource["spec"]
        self._deployment(resource, spec["reidWorkers"], "reidworker", {})
        user = self._env(resource, "userworker-", "SERVICE_NAME")
        self._deployment(resource, {"template": spec["userWorker"]["template"]}, "userworker", user)
        for each in spec["trackingWorkers"]:
            tracking = self._env(resource, "trackingworker-", "SERVICE_NAME")
            self._pod(resource, each["template"], "trackingworker", tracking)

    def _job(self, resource: Resource, worker_type: str) -> None:
        if self._is_new(resource):
            self._pod(resource, resource["spec"]["template"], worker_type, self._env(resource, ""))
        self._phase(resource)

    def _reid_job(self, resource: Resource) -> None:
        self._job(resource, "reid")

    def _video_analytics_job(self, resource: Resource) -> None:
        self._job(resource, "videoanalytics")

    def _federated_learning_job(self, resource: Resource) -> None:
        if self._is_new(resource):
            spec = resource["spec"]
            env = {**self._env(resource, "aggworker-"), "AGG_BIND_PORT": "7363"}
            del env["LC_SERVER"]
            self._pod(resource, spec["aggregationWorker"]["template"], "Aggregation", env, restart="OnFailure")
            for each in spec["trainingWorkers"]:
                env = {**self._env(resource, "trainworker-"), "DATASET_NAME": each["dataset"]["name"]}
                self._pod(resource, each["template"], "train", env, on_node=True, restart="OnFailure")
        self._phase(resource)

    def _phase(self, resource: Resource) -> None:
        """While it runs there is a phase and no condition."""
        phases = self._phases(resource)
        count = {
            "active": sum(each in ("Pending", "Running") for each in phases),
            "succeeded": phases.count("Succeeded"), "failed": phases.count("Failed"),
        }  # fmt: skip
        if resource.get("status", {}).get("phase") in ("Succeeded", "Failed") or not phases:
            return
        if count["active"]:
            self._report(resource, phase="Running" if "Running" in phases else "Pending", **count)
        elif count["failed"]:
            self._report(resource, phase="Failed", **count)
            self._condition(resource, {"type": "Failed"})
        else:
            self._report(resource, phase="Succeeded", completionTime=now(), **count)
            self._condition(resource, {"type": "Complete" if "Federated" in resource["kind"] else "Completed"})

    def _incremental_learning_job(self, resource: Resource) -> None:
        """One round: train, evaluate, deploy; then the next waits for data."""
        conditions = resource.get("status", {}).get("conditions", [])
        if not conditions:
            self._condition(resource, {"stage": "Train", "type": "Waiting"})
            return
        is_lifelong = "Lifelong" in resource["kind"]
        stage, state = conditions[-1]["stage"], conditions[-1]["type"]
        if state == "Waiting" and self._is_new(resource, stage):
            if stage == "Deploy":
                variable = "MODEL_URLS" if is_lifelong else "MODEL_URL"
                env = {**self._env(resource, "inferworker-"), variable: "/model"}
                self._pod(resource, resource["spec"]["deploySpec"]["template"], "inference", env, on_node=True)
                done = [{"stage": "Deploy", "type": kind} for kind in ("Ready", "Completed")]
                self._condition(resource, *done, {"stage": "Train", "type": "Waiting"})
                return
            part, worker = resource["spec"][f"{stage.lower()}Spec"], f"{stage.lower()}-worker-"
            env = {**self._env(resource, worker), "MODEL_URL": f"/output/{stage.lower()}/1"}
            if is_lifelong:
                env["KB_SERVER"] = "http://kb.sedna:9020"
            self._pod(resource, part["template"], stage, env, on_node=True, restart="OnFailure")
            self._condition(resource, *({"stage": stage, "type": kind} for kind in ("Ready", "Starting")))
            return
        phases = self._phases(resource, stage)
        if state == "Starting" and "Running" in phases:
            self._condition(resource, {"stage": stage, "type": "Running"})
        if state in ("Starting", "Running") and "Succeeded" in phases:
            following = {"stage": {"Train": "Eval", "Eval": "Deploy"}[stage], "type": "Waiting"}
            self._condition(resource, {"stage": stage, "type": "Completed"}, following)
        if state in ("Starting", "Running") and "Failed" in phases:
            self._condition(resource, {"stage": stage, "type": "Failed"})

    _lifelong_learning_job = _incremental_learning_job
