"""Prometheus' scrape configuration: in a cluster, and without one."""

from __future__ import annotations

from typing import Any, Dict, List

from sedna_metrics.stack._export import ADDRESSES
from sedna_metrics.stack.generate._yaml import dump

KINDS = (
    "jointinferenceservice",
    "incrementallearningjob",
    "federatedlearningjob",
    "lifelonglearningjob",
    "objectsearchservice",
    "objecttrackingservice",
    "featureextractionservice",
    "reidjob",
    "videoanalyticsjob",
)
PORT_NAME = "metrics"

_GLOBAL = {
    "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
    "rule_files": ["rules.yml"],
}
_STATIC: List[Dict[str, Any]] = [
    {
        # Workers on hosts' networks write these files (SEDNA_METRICS_SD_DIR).
        "job_name": "sedna-edge-workers",
        "file_sd_configs": [{"files": ["/var/run/sedna-metrics/targets/sedna-*.json"]}],
    },
    {
        "job_name": "pushgateway",
        "honor_labels": True,  # the labels are the workers' own
        "static_configs": [{"targets": [ADDRESSES["pushgateway"]]}],
    },
]


def _of_kind(kind: str) -> List[Dict[str, Any]]:
    label = f"__meta_kubernetes_pod_label_{kind}_sedna_io"
    return [
        {"source_labels": [f"{label}_name"], "regex": ".+", "target_label": "kind", "replacement": kind},
        {"source_labels": [f"{label}_worker_type"], "regex": "(.+)", "target_label": "worker_type"},
    ]


_WORKERS: Dict[str, Any] = {
    # CRDs prune annotations of pod templates; what arrives are the Global Manager's labels and names of ports.
    "job_name": "sedna-workers",
    "kubernetes_sd_configs": [{"role": "pod"}],
    "relabel_configs": [
        {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": PORT_NAME, "action": "keep"},
        {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Succeeded|Failed", "action": "drop"},
        *(rule for kind in KINDS for rule in _of_kind(kind)),
        {"source_labels": ["kind"], "regex": ".+", "action": "keep"},
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        {"source_labels": ["__meta_kubernetes_pod_node_name"], "target_label": "node"},
    ],
}

FILES = {
    "prometheus/prometheus.yml": dump(
        {**_GLOBAL, "scrape_configs": [*_STATIC, _WORKERS]}, "Prometheus in the cluster (--config.file)."
    ),
    "prometheus/standalone.yml": dump({**_GLOBAL, "scrape_configs": _STATIC}, "Prometheus without Kubernetes."),
}
