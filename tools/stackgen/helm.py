"""Values for the usual Helm charts, from what the manifests rest on too."""

from __future__ import annotations

from typing import Any, Dict

import yaml

from sedna_metrics.stack._export import ADDRESSES, FILES as SHIPPED
from stackgen import kube_state_metrics
from stackgen._yaml import dump
from stackgen.operator import camel
from stackgen.scrape import NO_COPIES, ONE_SPELLING, OUT_OF_ORDER


def _read(name: str) -> Any:
    return yaml.safe_load((SHIPPED / name).read_text(encoding="utf-8"))


_KUBE_STATE_METRICS: Dict[str, Any] = {
    "metricLabelsAllowlist": [f"pods=[{kube_state_metrics.POD_LABELS}]"],
    "rbac": {"extraRules": kube_state_metrics.RULES},
    "customResourceState": {"enabled": True, "config": kube_state_metrics.CONFIG},
    "prometheus": {
        "monitor": {
            "enabled": True,
            "http": {"honorLabels": True, "metricRelabelings": camel(kube_state_metrics.STAGES_IN_LOWER_CASE)},
        }
    },
}
_KUBE_PROMETHEUS_STACK: Dict[str, Any] = {
    "kube-state-metrics": _KUBE_STATE_METRICS,
    "prometheus": {
        "prometheusSpec": {
            # Takes monitors and rules of any release, hence those of prometheus-operator/ as well.
            "podMonitorSelectorNilUsesHelmValues": False,
            "ruleSelectorNilUsesHelmValues": False,
            "scrapeConfigSelectorNilUsesHelmValues": False,
            "enableRemoteWriteReceiver": True,  # for the agents on edge nodes
            "tsdb": {"outOfOrderTimeWindow": OUT_OF_ORDER},
        }
    },
    "grafana": {
        "sidecar": {
            "dashboards": {"enabled": True, "label": "grafana_dashboard"},
            "datasources": {"enabled": True, "uid": "prometheus"},
        }
    },
}

_PUSHGATEWAY: Dict[str, Any] = {
    "fullnameOverride": "pushgateway",
    "serviceMonitor": {"enabled": True, "honorLabels": True, "metricRelabelings": camel([NO_COPIES, *ONE_SPELLING])},
}
_LOKI_CONFIG = _read("loki/loki.yml")
_LOKI: Dict[str, Any] = {
    "fullnameOverride": "loki",
    "deploymentMode": "SingleBinary",
    "loki": {
        "auth_enabled": False,
        "commonConfig": {"replication_factor": 1},
        "storage": {"type": "filesystem"},
        "schemaConfig": _LOKI_CONFIG["schema_config"],
        "limits_config": _LOKI_CONFIG["limits_config"],
        "compactor": {"retention_enabled": True, "delete_request_store": "filesystem"},
    },
    "singleBinary": {"replicas": 1, "persistence": {"size": "20Gi"}},
    **{part: {"replicas": 0} for part in ("read", "write", "backend")},
    **{part: {"enabled": False} for part in ("gateway", "chunksCache", "resultsCache", "lokiCanary", "test")},
    "monitoring": {"selfMonitoring": {"enabled": False}},
}
# Where the storage is, and the keys to it, are in the Secret loki-object-storage.
_OF_STORAGE: Dict[str, Any] = {
    "extraArgs": ["-config.expand-env=true"],
    "extraEnvFrom": [{"secretRef": {"name": "loki-object-storage"}}],
}
_LOKI_SCALABLE: Dict[str, Any] = {
    **{key: _LOKI[key] for key in ("fullnameOverride", "lokiCanary", "test", "monitoring")},
    "deploymentMode": "SimpleScalable",
    "loki": {
        **_LOKI["loki"],
        "commonConfig": {"replication_factor": 3},
        "storage": {
            "type": "s3",
            "bucketNames": {bucket: f"sedna-loki-{bucket}" for bucket in ("chunks", "ruler", "admin")},
            "s3": {
                "endpoint": "${S3_ENDPOINT}",
                "accessKeyId": "${S3_ACCESS_KEY_ID}",
                "secretAccessKey": "${S3_SECRET_ACCESS_KEY}",
                "s3ForcePathStyle": True,
            },
        },
        "schemaConfig": {
            "configs": [{**each, "object_store": "s3"} for each in _LOKI_CONFIG["schema_config"]["configs"]]
        },
        "compactor": {"retention_enabled": True, "delete_request_store": "s3"},
    },
    **{part: {"replicas": 3, **_OF_STORAGE} for part in ("write", "read", "backend")},
    "gateway": {"enabled": True},
}
_ALLOY: Dict[str, Any] = {
    "alloy": {
        "configMap": {"content": (SHIPPED / "loki" / "config.alloy").read_text(encoding="utf-8").expandtabs(2)},
        "mounts": {"varlog": True, "dockercontainers": True},
        "securityContext": {"runAsUser": 0},
    },
    "controller": {
        "type": "daemonset",
        "hostNetwork": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "tolerations": [{"operator": "Exists"}],
    },
    "rbac": {"create": False},
}
_GRAFANA: Dict[str, Any] = {
    "datasources": {"datasources.yaml": _read("grafana/provisioning/datasources/sedna.yml")},
    "sidecar": {"dashboards": {"enabled": True, "label": "grafana_dashboard"}},
}

_RECEIVER = "    enableRemoteWriteReceiver: true\n"
# Export makes a line of it where there is a receiver beyond this Prometheus.
_REMOTE_WRITE = f'    # remoteWrite: [{{url: "{ADDRESSES["remote_write"]}"}}]\n'

FILES = {
    f"helm/{chart}.yml": dump(values, f"Values for the chart {chart}.").replace(_RECEIVER, _RECEIVER + _REMOTE_WRITE)
    for chart, values in {
        "kube-state-metrics": _KUBE_STATE_METRICS,
        "kube-prometheus-stack": _KUBE_PROMETHEUS_STACK,
        "prometheus-pushgateway": _PUSHGATEWAY,
        "loki": _LOKI,
        "loki-scalable": _LOKI_SCALABLE,
        "alloy": _ALLOY,
        "grafana": _GRAFANA,
    }.items()
}
