"""A stand-in for the kubelet, the one of ``test_cluster_stack.py``: it runs what the scheduler puts on its nodes.

A pod has a network namespace of its own on one bridge; a node has another, for the pods on its network. A container is
a process whose root is a copy (an overlay) of the machine's, with the pod's volumes mounted where the pod wants them,
as the user that the pod wants. What is missing: images (``programs`` says what runs in the place of each), limits, and
the waiting between restarts. It needs root.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import requests
from controlplane import ControlPlane
from pods import config_map_files, write_files

Resource = Dict[str, Any]
SECONDS = 0.3


def problem() -> str:
    """Why it cannot run here, or nothing."""
    if os.geteuid() != 0:
        return "only root may make the namespaces in which the stand-in for the kubelet runs containers"
    missing = [name for name in ("ip", "unshare", "hostname", "mount", "chroot") if not shutil.which(name)]
    return f"{', '.join(missing)} missing" if missing else ""


class Network:
    """A bridge on the machine, which has ``address``, and namespaces on it."""

    def __init__(self) -> None:
        self._prefix = f"sm{os.getpid()}"
        self._subnet = f"10.{200 + os.getpid() % 50}"
        self._names: List[str] = []
        self.address = f"{self._subnet}.0.1"
        _ip("link", "add", self._prefix, "type", "bridge")
        _ip("addr", "add", f"{self.address}/16", "dev", self._prefix)
        _ip("link", "set", self._prefix, "up")

    def namespace(self) -> Tuple[str, str]:
        """Name and address of a new one."""
        number = len(self._names) + 10
        name, address = f"{self._prefix}-{number}", f"{self._subnet}.{number // 250}.{number % 250 + 1}"
        self._names.append(name)
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", name, "master", self._prefix, "up")
        _ip("-n", name, "addr", "add", f"{address}/16", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", name, "link", "set", device, "up")
        return name, address

    def close(self) -> None:
        for name in self._names:
            _ip("netns", "del", name)
        _ip("link", "del", self._prefix)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Node:
    """A registered node; ``folder`` is its disk, for host paths and claims."""

    def __init__(self, name: str, folder: Path, network: Network) -> None:
        self.name, self.folder = name, folder
        self.namespace, self.address = network.namespace()


class Container:
    """One of a pod's containers, as far as it has come."""

    def __init__(self, spec: Resource) -> None:
        self.spec = spec
        self.process: Optional[subprocess.Popen[bytes]] = None
        self.restarts = 0
        self.exit_code: Optional[int] = None
        self.waits_for = "ContainerCreating"

    def status(self, is_ready: bool) -> Resource:
        if self.process:
            state: Resource = {"running": {"startedAt": None}}
        elif self.exit_code is not None:
            reason = "Error" if self.exit_code else "Completed"
            state = {"terminated": {"exitCode": self.exit_code, "reason": reason}}
        else:
            state = {"waiting": {"reason": self.waits_for}}
        return {
            "name": self.spec["name"], "image": self.spec["image"], "imageID": "", "ready": is_ready,
            "restartCount": self.restarts, "state": state,
        }  # fmt: skip


class Pod:
    """A pod that is on one of the nodes."""

    def __init__(self, resource: Resource, node: Node, folder: Path, network: Network) -> None:
        self.resource, self.node, self.folder = resource, node, folder
        self.spec, self.metadata = resource["spec"], resource["metadata"]
        self.path = f"/api/v1/namespaces/{self.metadata['namespace']}/pods/{self.metadata['name']}"
        on_node = self.spec.get("hostNetwork")
        self.namespace, self.address = (node.namespace, node.address) if on_node else network.namespace()
        self.containers = [Container(each) for each in self.spec["containers"]]
        self.told: Resource = {}
        self.killed_at = 0.0

    def phase(self) -> str:
        if any(each.process is None and each.exit_code is None for each in self.containers):
            return "Pending"
        if any(each.process for each in self.containers):
            return "Running"
        return "Failed" if any(each.exit_code for each in self.containers) else "Succeeded"

    def is_ready(self, container: Container) -> bool:
        """Whether it runs and, where it has a probe, answers it."""
        if not container.process:
            return False
        probe = container.spec.get("readinessProbe", {}).get("httpGet")
        if not probe:
            return True
        ports = {each.get("name"): each["containerPort"] for each in container.spec.get("ports", [])}
        url = f"http://{self.address}:{ports.get(probe['port'], probe['port'])}{probe['path']}"
        try:
            return requests.get(url, timeout=1).ok
        except requests.RequestException:
            return False

    def stop(self, number: int) -> bool:
        """Whether there is nothing left to stop."""
        alive = [each.process for each in self.containers if each.process and each.process.poll() is None]
        for process in alive:
            os.killpg(process.pid, number)
        return not alive


class Kubelet:
    """Registers nodes and runs their pods, in a thread, until it is closed.

    Args:
        nodes: labels of each node; one with the edge's label has the edge's taint.
        programs: command by image, without its tag. A pod whose image is missing here stays Pending.
    """

    def __init__(
        self, plane: ControlPlane, network: Network, folder: Path, nodes: Dict[str, Dict[str, str]],
        programs: Dict[str, List[str]],
    ) -> None:  # fmt: skip
        self._plane, self._network, self._folder = plane, network, folder
        self.programs = programs
        self.failure: Optional[BaseException] = None
        self.pods: Dict[str, Pod] = {}
        self._hosts = folder / "hosts"
        self._hosts.write_text("127.0.0.1 localhost\n")
        self.nodes = {name: Node(name, folder / name, network) for name in nodes}
        for name, labels in nodes.items():
            self._register(self.nodes[name], labels)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _register(self, node: Node, labels: Dict[str, str]) -> None:
        edge = "node-role.kubernetes.io/edge"
        taints = [{"key": edge, "effect": "NoSchedule"}] if edge in labels else []
        metadata = {"name": node.name, "labels": {**labels, "kubernetes.io/hostname": node.name}}
        resource = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": taints}}
        self._plane.call("POST", "/api/v1/nodes", resource)
        path = f"/api/v1/nodes/{node.name}"
        # A new node has the taint "not ready", which the node controller would take off.
        self._plane.call("PATCH", path, {"spec": {"taints": taints}})
        room = {"cpu": "64", "memory": "256Gi", "pods": "200", "ephemeral-storage": "100Gi"}
        status = {
            "capacity": room, "allocatable": room,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": node.address}],
        }  # fmt: skip
        self._plane.call("PATCH", f"{path}/status", {"status": status})

    def close(self) -> None:
        """Stop everything; raises what went wrong."""
        self._stopped.set()
        self._thread.join()
        for pod in self.pods.values():
            pod.stop(signal.SIGKILL)
            for each in pod.containers:
                if each.process:
                    each.process.wait()
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._stopped.wait(SECONDS):
                found = self._plane.call("GET", "/api/v1/pods")["items"]
                ours = {each["metadata"]["uid"]: each for each in found if each["spec"].get("nodeName") in self.nodes}
                for uid in set(self.pods) - set(ours):
                    self.pods.pop(uid).stop(signal.SIGKILL)  # deleted without us
                for uid, resource in ours.items():
                    if uid not in self.pods:
                        node = self.nodes[resource["spec"]["nodeName"]]
                        self.pods[uid] = Pod(resource, node, self._folder / "pods" / uid, self._network)
                    self._sync(self.pods[uid], resource)
                self._name_services(ours)
        except BaseException as failure:
            self.failure = failure
            raise

    def _sync(self, pod: Pod, resource: Resource) -> None:
        if "deletionTimestamp" in resource["metadata"]:
            late = pod.killed_at and time.monotonic() > pod.killed_at + pod.spec["terminationGracePeriodSeconds"]
            if pod.stop(signal.SIGKILL if late else 0 if pod.killed_at else signal.SIGTERM):
                uid = resource["metadata"]["uid"]
                self._plane.call("DELETE", pod.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
            pod.killed_at = pod.killed_at or time.monotonic()
            return
        for container in pod.containers:
            if container.process and container.process.poll() is not None:
                container.exit_code, container.process = container.process.returncode, None
            policy = pod.spec["restartPolicy"]
            again = policy == "Always" or (policy == "OnFailure" and container.exit_code)
            if container.process is None and (container.exit_code is None or again):
                self._start(pod, container)
        self._tell(pod)

    def _tell(self, pod: Pod) -> None:
        ready = [pod.is_ready(each) for each in pod.containers]
        conditions = {"PodScheduled": True, "Initialized": True, "ContainersReady": all(ready), "Ready": all(ready)}
        status = {
            "phase": pod.phase(), "hostIP": pod.node.address, "podIP": pod.address,
            "podIPs": [{"ip": pod.address}], "hostIPs": [{"ip": pod.node.address}],
            "conditions": [{"type": kind, "status": str(state)} for kind, state in conditions.items()],
            "containerStatuses": [each.status(is_so) for each, is_so in zip(pod.containers, ready)],
        }  # fmt: skip
        if status != pod.told:
            self._plane.call("PATCH", f"{pod.path}/status", {"status": status})
            pod.told = status

    def _name_services(self, pods: Dict[str, Resource]) -> None:
        """In the place of cluster DNS and kube-proxy: a service's name is the address of a running pod of its."""
        lines = ["127.0.0.1 localhost"]
        for service in self._plane.call("GET", "/api/v1/services")["items"]:
            name, space = service["metadata"]["name"], service["metadata"]["namespace"]
            selector = service["spec"].get("selector", {})
            for uid, resource in pods.items():
                metadata, labels = resource["metadata"], resource["metadata"].get("labels", {}).items()
                is_its = selector and metadata["namespace"] == space and selector.items() <= labels
                if is_its and self.pods[uid].phase() == "Running":
                    lines.append(f"{self.pods[uid].address} {name}.{space} {name}.{space}.svc")
        text = "\n".join([*lines, ""])
        if text != self._hosts.read_text():
            self._hosts.write_text(text)  # in place: it is mounted

    def _start(self, pod: Pod, container: Container) -> None:
        spec = container.spec
        program = self.programs.get(spec["image"].rpartition(":")[0])
        if not program:
            container.waits_for = "ImagePullBackOff"
            return
        if container.exit_code is not None:
            container.restarts += 1
        folder = pod.folder / spec["name"]
        folder.mkdir(parents=True, exist_ok=True)
        name = pod.node.name if pod.spec.get("hostNetwork") else pod.metadata["name"]
        lines = ["set -e", f"hostname {name}", "mount -t tmpfs tmpfs .", "cd $PWD", "mkdir upper work root"]
        lines.append("mount -t overlay overlay -o lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work root")
        lines.append("rm -rf root/tmp/sedna-metrics-*")  # the machine's spool is none of a container's
        lines += [f"mount --rbind /{each} root/{each}" for each in ("proc", "dev", "sys")]
        lines.append(f"mount --bind {shlex.quote(str(self._hosts))} root/etc/hosts")
        for mount in sorted(spec.get("volumeMounts", []), key=lambda each: len(each["mountPath"])):
            source = self._volume(pod, mount["name"])
            if source is None:
                container.waits_for = f"no {mount['name']}"
                return
            target = shlex.quote("root" + os.path.realpath(mount["mountPath"]))
            lines += [f"mkdir -p {target}", f"mount --bind {shlex.quote(str(source))} {target}"]
            if mount.get("readOnly"):
                lines.append(f"mount -o remount,ro,bind {target}")
        of_pod, own = pod.spec.get("securityContext", {}), spec.get("securityContext", {})
        if own.get("readOnlyRootFilesystem"):
            lines.append("mount -o remount,ro,bind root")
        user = own.get("runAsUser", of_pod.get("runAsUser", 0))
        groups = f" --groups={of_pod['fsGroup']}" if "fsGroup" in of_pod else ""
        command = [*(spec.get("command") or program), *spec.get("args", [])]
        lines.append(f"exec chroot --userspec={user}:0{groups} root {shlex.join(command)}")
        host, _, port = self._plane.url[8:].partition(":")
        environ = {"PATH": os.environ["PATH"], "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        environ.update((each["name"], self._value(pod, each)) for each in spec.get("env", []))
        enter = ["ip", "netns", "exec", pod.namespace, "unshare", "--mount", "--uts", "--propagation", "private"]
        with (folder.with_suffix(".log")).open("ab") as log:
            container.process = subprocess.Popen(
                [*enter, "sh", "-c", "\n".join(lines)], cwd=folder, env=environ, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def _value(self, pod: Pod, variable: Resource) -> str:
        if "valueFrom" not in variable:
            return variable.get("value", "")
        field = variable["valueFrom"]["fieldRef"]["fieldPath"]
        status = {"podIP": pod.address, "hostIP": pod.node.address}
        part, _, key = field.partition(".")
        return {"metadata": pod.metadata, "spec": pod.spec, "status": status}[part][key]

    def _volume(self, pod: Pod, name: str) -> Optional[Path]:
        """Where the volume's files are; ``None`` where something is not there yet."""
        volume = next(each for each in pod.spec["volumes"] if each["name"] == name)
        claim, host_path = volume.get("persistentVolumeClaim"), volume.get("hostPath")
        folder = pod.folder / "volumes" / name
        if host_path:
            folder = pod.node.folder / host_path["path"].lstrip("/")
        elif claim:
            folder = pod.node.folder / "claims" / claim["claimName"]
        elif "emptyDir" not in volume:
            sources = volume.get("projected", {}).get("sources") or [volume]
            folder.mkdir(parents=True, exist_ok=True)
            return folder if all(self._fill(pod, folder, each) for each in sources) else None
        folder.mkdir(parents=True, exist_ok=True)
        if not host_path:
            os.chown(folder, 0, pod.spec.get("securityContext", {}).get("fsGroup", 0))
            folder.chmod(0o777 if "emptyDir" in volume else 0o2775)
        return folder

    def _fill(self, pod: Pod, folder: Path, source: Resource) -> bool:
        space = f"/api/v1/namespaces/{pod.metadata['namespace']}"
        files: Dict[str, bytes] = {}
        if "configMap" in source:
            wanted = source["configMap"]
            found = self._plane.call("GET", f"{space}/configmaps/{wanted['name']}")
            if found is None:
                return bool(wanted.get("optional"))
            files = config_map_files(found, wanted.get("items"))
        elif "serviceAccountToken" in source:
            account = pod.spec["serviceAccountName"]
            bound = {"kind": "Pod", "apiVersion": "v1", "name": pod.metadata["name"], "uid": pod.metadata["uid"]}
            request = {"spec": {"expirationSeconds": 3607, "boundObjectRef": bound}}
            made = self._plane.call("POST", f"{space}/serviceaccounts/{account}/token", request)
            files[source["serviceAccountToken"]["path"]] = made["status"]["token"].encode()
        elif "downwardAPI" in source:
            files = {
                each["path"]: self._value(pod, {"valueFrom": each}).encode() for each in source["downwardAPI"]["items"]
            }
        else:
            return False
        write_files(files, folder)
        return True
