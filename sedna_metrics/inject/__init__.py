"""Adds the bundle to pods, so that workers in unchanged images are observed.

``bundle`` builds the zip file, ``autoload`` is what the interpreters in the container run. Here are the changes to a
pod, which ``sedna-metrics inject`` makes in YAML files and the exported admission policy makes in the cluster.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from sedna_metrics.inject.bundle import CONFIG_MAP, PYTHONS

FOLDER = "/opt/sedna-metrics"
TARGETS = "/var/run/sedna-metrics/targets"
PORT = 9470
PUSHGATEWAY_URL = "http://pushgateway.monitoring:9091"
OPT_OUT = "SEDNA_METRICS_EXPORT"
"""A pod with a container in which this variable is ``off`` is left alone."""

Item = Dict[str, Any]

#: The workers of Sedna's kinds that run to completion, by their key in the spec.
_JOBS = frozenset(["trainSpec", "evalSpec", "aggregationWorker", "trainingWorkers"])
#: Those that Global Manager runs on the node's network (pkg/globalmanager/controllers).
_ON_NODE_NETWORK = {
    "IncrementalLearningJob": ("trainSpec", "evalSpec", "deploySpec"),
    "LifelongLearningJob": ("trainSpec", "evalSpec", "deploySpec"),
    "FederatedLearningJob": ("trainingWorkers",),
}


class Additions(NamedTuple):
    """What a pod gets; each item has a name, and is left out if the pod has one of that name."""

    volumes: List[Item]
    mounts: List[Item]
    env: List[Item]
    ports: List[Item]


def additions(
    is_job: bool, is_on_node_network: bool, service: str = "", pushgateway_url: str = PUSHGATEWAY_URL, port: int = PORT
) -> Additions:
    """The additions for a worker: a job pushes; a service is scraped, by a file on the node if it is on its network.

    A JointInferenceService gets its name as JOB_NAME: Global Manager sets none, and Sedna then reports as "sedna".
    There is no port entry if ``port`` is 0.
    """
    paths = [{"key": "bundle.zip", "path": "bundle.zip"}]
    for minor in PYTHONS:
        site = f"lib/python3.{minor}/site-packages"
        paths.append({"key": "sedna-metrics.pth", "path": f"{site}/sedna-metrics.pth"})
        paths.append({"key": "autoload.py", "path": f"{site}/_sedna_metrics_autoload.py"})
    result = Additions(
        volumes=[{"name": "sedna-metrics", "configMap": {"name": CONFIG_MAP, "optional": True, "items": paths}}],
        mounts=[{"name": "sedna-metrics", "mountPath": FOLDER, "readOnly": True}],
        env=[
            {"name": "PYTHONUSERBASE", "value": FOLDER},
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        ports=[],
    )
    if service:
        result.env.append({"name": "JOB_NAME", "value": service})
    if is_job:
        result.env.append({"name": "SEDNA_METRICS_PUSHGATEWAY_URL", "value": pushgateway_url})
        # "auto" knows jobs by WORKER_NAME or the pod's name; other pods that run to completion have neither.
        result.env.append({"name": OPT_OUT, "value": "push"})
    elif is_on_node_network:
        result.volumes.append(
            {"name": "sedna-metrics-targets", "hostPath": {"path": TARGETS, "type": "DirectoryOrCreate"}}
        )
        result.mounts.append({"name": "sedna-metrics-targets", "mountPath": TARGETS})
        result.env.append({"name": "SEDNA_METRICS_SD_DIR", "value": TARGETS})
    else:
        result.env.append({"name": "SEDNA_METRICS_PORT", "value": str(port)})
        if port:
            result.ports.append({"name": "metrics", "containerPort": port})
    return result


def inject(resource: Any, pushgateway_url: str = PUSHGATEWAY_URL) -> bool:
    """Add the bundle to every pod template of a resource, in place; returns whether anything has changed.

    The resource is one of Sedna's, a Pod, or anything with pod templates, as a dict. The worker is a pod's first
    container; others are sidecars, and left alone. Jobs push to ``pushgateway_url``. A pod that is not as Kubernetes
    has it raises ValueError.
    """
    has_changed = False
    for pod, role in _pods(resource):
        variables = [each for container in pod["containers"] for each in _items(container, "env")]
        if not any(each.get("name") == OPT_OUT and each.get("value") == "off" for each in variables):
            added = additions(*role, pushgateway_url, _port(pod["containers"][0]))
            for holder, key, items in _places(pod, added):
                has_changed |= _add(holder, key, items)
    return has_changed


def uninject(resource: Any) -> bool:
    """Take out what :func:`inject` adds, where it is unchanged; returns whether anything has changed.

    Another port than :data:`PORT` stays: the resource itself has set it in one of two places.
    """
    has_changed = False
    for pod, role in _pods(resource):
        for holder, key, items in _places(pod, additions(*role)):
            has_changed |= _remove(holder, key, items)
    return has_changed


def _pods(resource: Any) -> Iterator[Tuple[Any, Tuple[bool, bool, str]]]:
    """Each pod specification in the resource; whether it is a job, and on the node's network; the service's name."""
    kind, metadata = str(resource.get("kind", "")), resource.get("metadata")
    is_service = kind == "JointInferenceService" and isinstance(metadata, Mapping)
    service = str(metadata.get("name", "")) if is_service else ""
    for pod, keys in _pod_specs(resource, ()):
        is_job = bool(_JOBS.intersection(keys)) or pod.get("restartPolicy", "Always") != "Always"
        is_on_node_network = bool(pod.get("hostNetwork")) or any(key in _ON_NODE_NETWORK.get(kind, ()) for key in keys)
        yield pod, (is_job, is_on_node_network, service)


def _pod_specs(value: Any, keys: Tuple[str, ...]) -> Iterator[Tuple[Any, Tuple[str, ...]]]:
    """Each pod specification, with the keys that lead to it."""
    if isinstance(value, Mapping):
        if keys[-1:] == ("spec",) and isinstance(value.get("containers"), list) and _items(value, "containers"):
            yield value, keys
            return
        for key, inner in value.items():
            yield from _pod_specs(inner, (*keys, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from _pod_specs(inner, keys)


def _port(container: Any) -> int:
    """The port of /metrics that the container itself names, or the default; 0 if that cannot be known."""
    for each in _items(container, "env"):
        if each.get("name") == "SEDNA_METRICS_PORT":
            first = re.match(r"(\d{1,5})(-|$)", str(each.get("value", "")))
            return int(first[1]) if first else 0
    for each in _items(container, "ports"):
        if each.get("name") == "metrics":
            port = each.get("containerPort")
            return port if isinstance(port, int) else 0
    return PORT


def _places(pod: Any, added: Additions) -> List[Tuple[Any, str, List[Item]]]:
    """The additions, each with the mapping that it belongs to and its key there."""
    worker = pod["containers"][0]
    return [
        (pod, "volumes", added.volumes),
        (worker, "volumeMounts", added.mounts),
        (worker, "env", added.env),
        (worker, "ports", added.ports),
    ]


def _items(holder: Any, key: str) -> List[Any]:
    items = holder.get(key) or []
    if not isinstance(items, list) or not all(isinstance(each, Mapping) for each in items):
        raise ValueError(f"{key} of a pod is not a list of mappings")
    return items


def _add(holder: Any, key: str, items: List[Item]) -> bool:
    names = [each.get("name") for each in _items(holder, key)]
    missing = [item for item in items if item["name"] not in names]
    if missing:
        if not holder.get(key):
            holder[key] = []
        holder[key].extend(missing)
    return bool(missing)


def _remove(holder: Any, key: str, items: List[Item]) -> bool:
    present = _items(holder, key)
    ours = [index for index, each in enumerate(present) if any(_is_same(each, item) for item in items)]
    for index in reversed(ours):
        del present[index]
    if ours and not present:
        del holder[key]
    return bool(ours)


def _is_same(one: Any, other: Any) -> bool:
    """Equal as JSON; the Pushgateway's URL may have been another."""
    return bool(one == other) or (
        one.get("name") == other["name"] == "SEDNA_METRICS_PUSHGATEWAY_URL" and set(one) == set(other)
    )
