"""Prometheus' scrape configuration: in a cluster, and without one."""

from __future__ import annotations

from typing import Any, Dict, List

from sedna_metrics.identity import COPY_JOB
from sedna_metrics.stack._export import ADDRESSES
from stackgen import kube_state_metrics
from stackgen._kinds import KINDS, Kind
from stackgen._yaml import dump

PORT_NAME = "metrics"
_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"

ONE_SPELLING = [{"source_labels": ["le"], "regex": r"(\d+)", "target_label": "le", "replacement": "$1.0"}]
"""Relabelling of what the Pushgateway has: it writes le="60" where a worker writes le="60.0", and Prometheus before 3
takes these for two buckets.
"""

NO_COPIES = {"source_labels": ["job"], "regex": COPY_JOB, "action": "drop"}
"""A worker with export=both is scraped, so that what it pushes is a copy."""

_GLOBAL = {"global": {"scrape_interval": "15s", "evaluation_interval": "15s"}, "rule_files": ["rules.yml"]}
_FROM_FILES: Dict[str, Any] = {
    # Workers on hosts' networks write these files (SEDNA_METRICS_SD_DIR).
    "job_name": "sedna-edge-workers",
    "file_sd_configs": [{"files": ["/var/run/sedna-metrics/targets/sedna-*.json"]}],
}
_PUSHED: Dict[str, Any] = {
    "job_name": "pushgateway",
    "honor_labels": True,  # the labels are the workers' own
    "static_configs": [{"targets": [ADDRESSES["pushgateway"]]}],
    "metric_relabel_configs": [NO_COPIES, *ONE_SPELLING],
}


def _of_kind(kind: Kind) -> List[Dict[str, Any]]:
    label = f"__meta_kubernetes_pod_label_{kind.label}"
    return [
        {"source_labels": [f"{label}_name"], "regex": ".+", "target_label": "kind", "replacement": kind.lower},
        {"source_labels": [f"{label}_worker_type"], "regex": "(.+)", "target_label": "worker_type"},
    ]


POD_RELABELLING: List[Dict[str, Any]] = [
    # CRDs prune annotations of pod templates; what arrives are the Global Manager's labels and names of ports.
    # A pending pod can have an address: no alert may fire while its image is pulled.
    {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Running", "action": "keep"},
    # Pods on their node's network are scraped by the node's agent, through their file_sd entries, or push.
    {
        "source_labels": ["__meta_kubernetes_pod_host_ip"],
        "target_label": "__meta_kubernetes_pod_ip",
        "action": "dropequal",
    },
    *(rule for kind in KINDS for rule in _of_kind(kind)),
    {"source_labels": ["kind"], "regex": ".+", "action": "keep"},
    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
    {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
    {"source_labels": ["__meta_kubernetes_pod_node_name"], "target_label": "node"},
]
"""Keeps pods that Sedna's Global Manager made, and says whose they are."""

_NAMED_PORT = {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": PORT_NAME, "action": "keep"}
_IN_CLUSTER: List[Dict[str, Any]] = [
    {
        "job_name": "sedna-workers",
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": [_NAMED_PORT, *POD_RELABELLING],
    },
    {
        # Sedna's own programs serve no metrics as of v0.7: this finds them as soon as a port of theirs has the name.
        "job_name": "sedna-controllers",
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": ["sedna"]}}],
        "relabel_configs": [
            _NAMED_PORT,
            {"source_labels": ["__meta_kubernetes_pod_label_sedna"], "regex": "gm|lc", "action": "keep"},
            {"source_labels": ["__meta_kubernetes_pod_label_sedna"], "target_label": "component"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
            {"source_labels": ["__meta_kubernetes_pod_node_name"], "target_label": "node"},
        ],
    },
    {
        "job_name": "kube-state-metrics",
        "honor_labels": True,  # namespace and pod are those of what it tells of
        "static_configs": [{"targets": [ADDRESSES["kube_state_metrics"]]}],
        "metric_relabel_configs": kube_state_metrics.STAGES_IN_LOWER_CASE,
    },
    {
        # CPU and memory of the pods, the Global Manager's and the Local Controllers' included, from the kubelets
        # themselves. Those of edge nodes answer if the cloud reaches the nodes' port 10250.
        "job_name": "cadvisor",
        "scheme": "https",
        "honor_labels": True,
        "kubernetes_sd_configs": [{"role": "node"}],
        "metrics_path": "/metrics/cadvisor",
        # The kubelet's own certificate is signed by nobody in most clusters.
        "tls_config": {"insecure_skip_verify": True},
        "authorization": {"credentials_file": f"{_TOKEN}/token"},
        "relabel_configs": [{"source_labels": ["__meta_kubernetes_node_name"], "target_label": "node"}],
        "metric_relabel_configs": [
            {
                "source_labels": ["__name__"],
                "regex": "container_(cpu_usage_seconds_total|memory_working_set_bytes)",
                "action": "keep",
            },
            {"source_labels": ["pod"], "regex": ".+", "action": "keep"},
        ],
    },
]

# Export makes a line of it where there is a receiver beyond this Prometheus.
_REMOTE_WRITE = f'# remote_write: [{{url: "{ADDRESSES["remote_write"]}"}}]\n'


#: What an edge node kept while it was cut off is accepted: its agent keeps about two hours.
OUT_OF_ORDER = "2h"
_STORAGE = {"storage": {"tsdb": {"out_of_order_time_window": OUT_OF_ORDER}}}


def _dump(jobs: List[Dict[str, Any]], comment: str) -> str:
    return dump({**_GLOBAL, **_STORAGE, "scrape_configs": jobs}, comment) + _REMOTE_WRITE


FILES = {
    "prometheus/prometheus.yml": _dump([_PUSHED, *_IN_CLUSTER], "Prometheus in the cluster (--config.file)."),
    "prometheus/standalone.yml": _dump([_FROM_FILES, _PUSHED], "Prometheus without Kubernetes."),
}
