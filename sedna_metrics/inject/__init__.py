"""Adds the bundle to pods, so that workers in unchanged images are observed.

``bundle`` builds the zip file, ``autoload`` is what the interpreters in the container run. Here are the changes to a
pod, which ``sedna-metrics inject`` makes in YAML files and the exported admission policy makes in the cluster.
"""

from __future__ import annotations

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
_ON_NODE_NETWORK = frozenset(
    [
        *(
            (kind, key)
            for kind in ("IncrementalLearningJob", "LifelongLearningJob")
            for key in ("trainSpec", "evalSpec")
        ),
        *((kind, "deploySpec") for kind in ("IncrementalLearningJob", "LifelongLearningJob")),
        ("FederatedLearningJob", "trainingWorkers"),
    ]
)


class Additions(NamedTuple):
    """What a pod gets; each item has a name, and is left out if the pod has one of that name."""

    volumes: List[Item]
    mounts: List[Item]
    env: List[Item]
    ports: List[Item]


def additions(
    is_job: bool, is_on_node_network: bool, service: str = "", pushgateway_url: str = PUSHGATEWAY_URL
) -> Additions:
    """The additions for a worker: a job pushes; a service is scraped, by a file on the node if it is on its network.

    A JointInferenceService gets its name as JOB_NAME: Global Manager sets none, and Sedna then reports as "sedna".
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
        result.env.append({"name": "SEDNA_METRICS_PORT", "value": str(PORT)})
        result.ports.append({"name": "metrics", "containerPort": PORT})
    return result


def inject(resource: Any, pushgateway_url: str = PUSHGATEWAY_URL) -> bool:
    """Add the bundle to every pod template of a resource, in place; returns whether anything has changed.

    The resource is one of Sedna's, a Pod, or anything with pod templates, as a dict. The worker is a pod's first
    container; others are sidecars, and left alone. Jobs push to ``pushgateway_url``.
    """
    has_changed = False
    for pod, added in _pods(resource, pushgateway_url):
        if any(
            each.get("name") == OPT_OUT and each.get("value") == "off"
            for container in pod["containers"]
            for each in container.get("env") or []
        ):
            continue
        has_changed |= _add(pod, "volumes", added.volumes)
        for key, items in _of_container(added):
            has_changed |= _add(pod["containers"][0], key, items)
    return has_changed


def uninject(resource: Any, pushgateway_url: str = PUSHGATEWAY_URL) -> bool:
    """Take out what :func:`inject` adds, where it is unchanged; returns whether anything has changed."""
    has_changed = False
    for pod, added in _pods(resource, pushgateway_url):
        has_changed |= _remove(pod, "volumes", added.volumes)
        for container in pod["containers"]:
            for key, items in _of_container(added):
                has_changed |= _remove(container, key, items)
    return has_changed


def _of_container(added: Additions) -> Tuple[Tuple[str, List[Item]], ...]:
    return ("volumeMounts", added.mounts), ("env", added.env), ("ports", added.ports)


def _pods(resource: Any, pushgateway_url: str) -> Iterator[Tuple[Any, Additions]]:
    """Each pod specification in the resource, with what it should get."""
    kind = str(resource.get("kind", ""))
    name = str((resource.get("metadata") or {}).get("name", ""))
    service = name if kind == "JointInferenceService" else ""
    for pod, keys in _pod_specs(resource, ()):
        is_job = bool(_JOBS.intersection(keys)) or pod.get("restartPolicy", "Always") != "Always"
        is_on_node_network = bool(pod.get("hostNetwork")) or any((kind, key) in _ON_NODE_NETWORK for key in keys)
        yield pod, additions(is_job, is_on_node_network, service, pushgateway_url)


def _pod_specs(value: Any, keys: Tuple[str, ...]) -> Iterator[Tuple[Any, Tuple[str, ...]]]:
    if isinstance(value, Mapping):
        if keys[-1:] == ("spec",) and isinstance(value.get("containers"), list) and value["containers"]:
            yield value, keys
            return
        for key, inner in value.items():
            yield from _pod_specs(inner, (*keys, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from _pod_specs(inner, keys)


def _add(holder: Any, key: str, items: List[Item]) -> bool:
    names = {each.get("name") for each in holder.get(key) or []}
    missing = [item for item in items if item["name"] not in names]
    if missing:
        if not holder.get(key):
            holder[key] = []
        holder[key].extend(missing)
    return bool(missing)


def _remove(holder: Any, key: str, items: List[Item]) -> bool:
    present = holder.get(key) or []
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
