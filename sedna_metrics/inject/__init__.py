"""Adds the bundle to pods, so that workers in unchanged images are observed.

``bundle`` builds the zip file, ``autoload`` is what the interpreters in the container run. Here are the changes to a
pod, which ``sedna-metrics inject`` makes in YAML files and the exported admission policy makes in the cluster.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from sedna_metrics.inject.bundle import CONFIG_MAP, PYTHONS

FOLDER = "/opt/sedna-metrics"
TARGETS = "/var/run/sedna-metrics/targets"
PORT = 9470
PUSHGATEWAY_URL = "http://pushgateway.monitoring:9091"
OPT_OUT = "SEDNA_METRICS_EXPORT"
"""A pod with a container in which this variable is ``off`` is left alone."""
_PUSHGATEWAY_VARIABLE = "SEDNA_METRICS_PUSHGATEWAY_URL"

Item = Dict[str, Any]

#: The workers of Sedna's kinds that run to completion, by their key in the spec.
_JOBS = frozenset(["trainSpec", "evalSpec", "aggregationWorker", "trainingWorkers"])
#: Those that Global Manager runs on the node's network (pkg/globalmanager/controllers).
_ON_NODE_NETWORK = {
    "IncrementalLearningJob": {"trainSpec", "evalSpec", "deploySpec"},
    "LifelongLearningJob": {"trainSpec", "evalSpec", "deploySpec"},
    "FederatedLearningJob": {"trainingWorkers"},
}


def additions(
    is_job: bool, is_on_node_network: bool, service: str = "", pushgateway_url: str = PUSHGATEWAY_URL, port: int = PORT
) -> Dict[str, List[Item]]:
    """What a worker's pod gets: "volumes" of the pod; "volumeMounts", "env" and "ports" of the container.

    Each item has a name, and is left out if there is one of that name. A job pushes; a service is scraped, by a file on
    the node if it is on its network. A JointInferenceService gets its name as JOB_NAME: Global Manager sets none, and
    Sedna then reports as "sedna". There is no port entry if ``port`` is 0.
    """
    paths = [{"key": "bundle.zip", "path": "bundle.zip"}]
    for minor in PYTHONS:
        site = f"lib/python3.{minor}/site-packages"
        paths.append({"key": "sedna-metrics.pth", "path": f"{site}/sedna-metrics.pth"})
        paths.append({"key": "autoload.py", "path": f"{site}/_sedna_metrics_autoload.py"})
    added: Dict[str, List[Item]] = {
        "volumes": [{"name": "sedna-metrics", "configMap": {"name": CONFIG_MAP, "optional": True, "items": paths}}],
        "volumeMounts": [{"name": "sedna-metrics", "mountPath": FOLDER, "readOnly": True}],
        "env": [
            {"name": "PYTHONUSERBASE", "value": FOLDER},
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "ports": [],
    }
    if service:
        added["env"].append({"name": "JOB_NAME", "value": service})
    if is_job:
        added["env"].append({"name": _PUSHGATEWAY_VARIABLE, "value": pushgateway_url})
        # "auto" knows jobs by WORKER_NAME or the pod's name; other pods that run to completion have neither.
        added["env"].append({"name": OPT_OUT, "value": "push"})
    elif is_on_node_network:
        host_path = {"path": TARGETS, "type": "DirectoryOrCreate"}
        added["volumes"].append({"name": "sedna-metrics-targets", "hostPath": host_path})
        added["volumeMounts"].append({"name": "sedna-metrics-targets", "mountPath": TARGETS})
        added["env"].append({"name": "SEDNA_METRICS_SD_DIR", "value": TARGETS})
    else:
        added["env"].append({"name": "SEDNA_METRICS_PORT", "value": str(port)})
        if port:
            added["ports"].append({"name": "metrics", "containerPort": port})
    return added


def inject(resource: Any, pushgateway_url: str = PUSHGATEWAY_URL) -> bool:
    """Add the bundle to every pod template of a resource, in place; returns whether anything has changed.

    The resource is one of Sedna's, a Pod, or anything with pod templates, as a dict. The worker is a pod's first
    container; others are sidecars, and left alone. Jobs push to ``pushgateway_url``. A malformed pod raises ValueError.
    """
    has_changed = False
    for pod, role in _pods(resource):
        worker = pod["containers"][0]
        variables = [each for container in pod["containers"] for each in _items(container, "env")]
        if not any(each.get("name") == OPT_OUT and each.get("value") == "off" for each in variables):
            for key, items in additions(*role, pushgateway_url, _port(worker)).items():
                has_changed |= _add(pod if key == "volumes" else worker, key, items)
    return has_changed


def uninject(resource: Any) -> bool:
    """Take out what :func:`inject` adds, where it is unchanged; returns whether anything has changed."""
    has_changed = False
    for pod, role in _pods(resource):
        worker = pod["containers"][0]
        urls = [each.get("value") for each in _items(worker, "env") if each.get("name") == _PUSHGATEWAY_VARIABLE]
        added = additions(*role, *urls[:1])
        added["ports"] = additions(*role, port=_port(worker))["ports"]
        for key, items in added.items():
            has_changed |= _remove(pod if key == "volumes" else worker, key, items)
    return has_changed


def _pods(resource: Any) -> Iterator[Tuple[Any, Tuple[bool, bool, str]]]:
    """Each pod specification in the resource; whether it is a job, and on the node's network; the service's name."""
    kind = resource.get("kind")
    service = resource["metadata"].get("name", "") if kind == "JointInferenceService" else ""
    waiting: List[Tuple[Any, Tuple[str, ...]]] = [(resource, ())]  # values, with the keys that lead to them
    while waiting:
        value, keys = waiting.pop()
        if isinstance(value, list):
            waiting += [(inner, keys) for inner in value]
        elif isinstance(value, Mapping) and keys[-1:] == ("spec",) and _items(value, "containers"):
            is_job = bool(_JOBS.intersection(keys)) or value.get("restartPolicy", "Always") != "Always"
            is_on_node_network = bool(value.get("hostNetwork") or _ON_NODE_NETWORK.get(kind, set()).intersection(keys))
            yield value, (is_job, is_on_node_network, service)
        elif isinstance(value, Mapping):
            waiting += [(inner, (*keys, str(key))) for key, inner in value.items()]


def _port(container: Any) -> int:
    """The port of /metrics that the container itself sets, or the default; 0 if that cannot be known."""
    for each in _items(container, "env"):
        if each.get("name") == "SEDNA_METRICS_PORT":
            first = re.match(r"(\d{1,5})(-|$)", str(each.get("value", "")))
            return int(first[1]) if first else 0
    return PORT


def _items(holder: Any, key: str) -> List[Any]:
    items = holder.get(key) or []
    if not isinstance(items, list) or not all(isinstance(each, Mapping) for each in items):
        raise ValueError(f"{key} of a pod is not a list of mappings")
    return items


def _add(holder: Any, key: str, items: List[Item]) -> bool:
    present = _items(holder, key)
    names = [each.get("name") for each in present]
    missing = [item for item in items if item["name"] not in names]
    if missing:
        present.extend(missing)
        holder[key] = present
    return bool(missing)


def _remove(holder: Any, key: str, items: List[Item]) -> bool:
    present = _items(holder, key)
    ours = [each for each in present if each in items]
    for each in ours:
        present.remove(each)
    if ours and not present:
        del holder[key]
    return bool(ours)
