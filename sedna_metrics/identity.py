"""Who this worker is: task, worker, kind, role, node and host.

Read from the environment that Sedna's Global Manager injects, never through Sedna's own ``BaseConfig``, which gives
joint inference workers the job name "sedna" (lib/sedna/common/config.py: ``job_name`` has a default and wins over
``service_name``).
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

UNKNOWN = "unknown"
PUSH_JOB = "sedna-worker"
"""The ``job`` label of every group of ours on a Pushgateway."""
COPY_JOB = "sedna-worker-copy"
"""The same, of a worker that is scraped as well (export=both): the exported configuration drops these groups."""
MAX_VALUE_LENGTH = 253
"""Kubernetes allows no longer object names; what is longer came from somewhere else."""

#: WORKER_NAME's prefix, as the Global Manager builds it (pkg/globalmanager/controllers), gives kind and worker type.
#: Incremental and lifelong learning share their prefixes. The pods of ObjectSearchService are both user and tracking
#: workers; ObjectTrackingService has no controller.
_PREFIXES: Tuple[Tuple[str, str, str], ...] = (
    ("edgeworker-", "jointinferenceservice", "edge"),
    ("cloudworker-", "jointinferenceservice", "cloud"),
    ("train-worker-", "incrementallearningjob", "train"),
    ("eval-worker-", "incrementallearningjob", "eval"),
    ("inferworker-", "incrementallearningjob", "inference"),
    ("aggworker-", "federatedlearningjob", "aggregation"),
    ("trainworker-", "federatedlearningjob", "train"),
    ("userworker-", "objectsearchservice", "user"),
    ("trackingworker-", "objectsearchservice", "tracking"),
)
#: A pod's name gives them where WORKER_NAME has no prefix: that of multi-edge inference is five random characters, and
#: the ReID workers of ObjectSearchService get no variables at all.
_POD = r"(.+)-(?:(reid|videoanalytics)|deployment-(fe|reidworker)-[a-z0-9]+)-[a-z0-9]{5}"
_POD_KINDS = {
    "reid": "reidjob",
    "videoanalytics": "videoanalyticsjob",
    "fe": "featureextractionservice",
    "reidworker": "objectsearchservice",
}
#: These kinds run on their node's network, so that their host name is the node's.
_HOST_NETWORK = {("federatedlearningjob", "train")} | {
    (kind, worker_type)
    for kind in ("incrementallearningjob", "lifelonglearningjob")
    for worker_type in ("train", "eval", "inference")
}
_BATCH_TYPES = {"train", "eval", "aggregation", "reid", "videoanalytics"}
_ITERATION_PATHS = (
    ("MODEL_URL", r"/train/(\d+)/?$"),
    ("OUTPUT_URL", r"/train/(\d+)/?$"),
    ("TRAIN_DATASET_URL", r"/train/(\d+)/[^/]*$"),
    ("TEST_DATASET_URL", r"/eval/(\d+)/[^/]*$"),
)


class WorkerIdentity(NamedTuple):
    """One worker of one Sedna task. All values are text that is safe as a label value."""

    task: str
    """Name of the custom resource: JOB_NAME, else SERVICE_NAME, else the script's name."""
    worker: str
    """WORKER_NAME, else the host name. Not unique: replicas of a Deployment share it."""
    namespace: str
    kind: str
    """Kind of the custom resource in lower case, or "unknown"."""
    worker_type: str
    """edge, cloud, train, eval, inference, aggregation, ... or "unknown"."""
    node: str
    host: str
    dataset: str = ""
    """DATASET_NAME: tells federated workers on one node apart."""
    iteration: Optional[int] = None
    """The iteration that the Global Manager put into the worker's paths, where it did."""

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str], hostname: Optional[str] = None, program: Optional[str] = None
    ) -> WorkerIdentity:
        """Read the identity from the variables that the Global Manager sets (pkg/globalmanager/runtime/worker.go).

        ``hostname`` and ``program``, the path of the script, are the system's by default.
        """
        host = clean(socket.gethostname() if hostname is None else hostname) or UNKNOWN
        worker = clean(environ.get("WORKER_NAME", ""))
        task = clean(environ.get("JOB_NAME", "")) or clean(environ.get("SERVICE_NAME", ""))
        kind, worker_type = _kind_and_type(environ, worker)
        if kind == UNKNOWN:
            task, kind, worker_type = _from_pod_name(host, task)
        node = clean(environ.get("NODE_NAME", ""))
        # Outside Sedna (no worker name) the host is all there is, and it is the node.
        if not node and ((kind, worker_type) in _HOST_NETWORK or (not worker and kind == UNKNOWN)):
            node = host
        return cls(
            task=task or _program_name(program),
            worker=worker or host,
            namespace=clean(environ.get("NAMESPACE", "")) or "default",
            kind=kind,
            worker_type=worker_type,
            node=node or UNKNOWN,
            host=host,
            dataset=clean(environ.get("DATASET_NAME", "")),
            iteration=_iteration(environ),
        )

    @property
    def is_batch(self) -> bool:
        """Whether the worker runs to completion (train, eval, ...), so that a scrape may come too late."""
        return self.worker_type in _BATCH_TYPES

    @property
    def is_replicated(self) -> bool:
        """Whether the worker is one of possibly many replicas of a service on the pod network."""
        role = (self.kind, self.worker_type)
        return UNKNOWN not in role and not self.is_batch and role not in _HOST_NETWORK

    def constant_labels(self) -> Dict[str, str]:
        """The labels that stand on every series."""
        return {"task": self.task, "worker": self.worker}

    def grouping_key(self) -> Dict[str, str]:
        """The Pushgateway group of this worker.

        ``instance`` is the node, for federated workers with the dataset's name: the next run on the node replaces the
        last one's group. For a replica of a service it is the pod's host name, because several may run on one node.
        """
        is_node_unknown = self.node == UNKNOWN and not self.is_batch
        instance = self.host if self.is_replicated or is_node_unknown else self.node
        if self.dataset:
            instance = f"{instance}:{self.dataset}"
        return {
            "job": PUSH_JOB,
            "namespace": self.namespace,
            "task": self.task,
            "worker_type": self.worker_type,
            "instance": instance,
        }


def clean(value: str) -> str:
    """Text that can be a label value, a log field and part of a URL.

    Lone surrogates (undecodable bytes of the environment) become U+FFFD. Longer text than a Kubernetes name is cut, and
    ends in a hash of the whole, so that two long values stay different.
    """
    text = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace").strip()
    if len(text) > MAX_VALUE_LENGTH:
        digest = hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]
        text = f"{text[: MAX_VALUE_LENGTH - 13]}-{digest}"
    return text


def _program_name(program: Optional[str]) -> str:
    folder, name = os.path.split((sys.argv or [""])[0] if program is None else program)
    stem = os.path.splitext(name)[0]
    if stem == "__main__":  # python -m package
        stem = os.path.basename(folder)
    return UNKNOWN if stem == "-c" else clean(stem) or UNKNOWN


def _kind_and_type(environ: Mapping[str, str], worker: str) -> Tuple[str, str]:
    for prefix, kind, worker_type in _PREFIXES:
        if worker.startswith(prefix):
            # An inference worker of lifelong learning gets no KB_SERVER, but MODEL_URLS instead of MODEL_URL.
            has_models = worker_type == "inference" and environ.get("MODEL_URLS") and not environ.get("MODEL_URL")
            if kind == "incrementallearningjob" and (environ.get("KB_SERVER") or has_models):
                kind = "lifelonglearningjob"
            return kind, worker_type
    return UNKNOWN, UNKNOWN


def _from_pod_name(host: str, task: str) -> Tuple[str, str, str]:
    # Few hosts have such a part, and the pattern takes a millisecond to compile.
    match = re.fullmatch(_POD, host) if any(f"-{part}-" in host for part in _POD_KINDS) else None
    if match is None or task not in ("", match.group(1)):
        return task, UNKNOWN, UNKNOWN
    worker_type = match.group(2) or match.group(3)
    return match.group(1), _POD_KINDS[worker_type], worker_type


def _iteration(environ: Mapping[str, str]) -> Optional[int]:
    for variable, pattern in _ITERATION_PATHS:
        text = environ.get(variable, "")
        match = re.search(pattern, text) if text else None
        # Nine digits are more iterations than a job will see, and int() of a hostile text stays quick.
        if match and len(match.group(1)) <= 9:
            return int(match.group(1))
    return None
