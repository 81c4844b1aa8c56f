"""The same for the Prometheus Operator, and as values of the usual Helm charts."""

from __future__ import annotations

import re
from typing import Any, Dict, List

from sedna_metrics.stack._export import ADDRESSES
from sedna_metrics.stack.generate import kube_state_metrics
from sedna_metrics.stack.generate._yaml import dump
from sedna_metrics.stack.generate.rules import RULES
from sedna_metrics.stack.generate.scrape import POD_RELABELLING, PORT_NAME


def _camel(rules: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Relabelling as the operator's resources spell it."""
    return [{re.sub("_(.)", lambda m: m[1].upper(), key): value for key, value in rule.items()} for rule in rules]


POD_MONITOR: Dict[str, Any] = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "PodMonitor",
    "metadata": {"name": "sedna-workers", "namespace": "monitoring"},
    "spec": {
        "namespaceSelector": {"any": True},
        "selector": {},  # no selector can say "one of these labels": the relabelling does
        "podMetricsEndpoints": [
            {
                "port": PORT_NAME,
                "interval": "15s",
                "relabelings": _camel([*POD_RELABELLING, {"target_label": "job", "replacement": "sedna-workers"}]),
            }
        ],
    },
}
_PUSHGATEWAY: Dict[str, Any] = {
    "apiVersion": "monitoring.coreos.com/v1alpha1",
    "kind": "ScrapeConfig",
    "metadata": {"name": "sedna-pushgateway", "namespace": "monitoring"},
    "spec": {
        "jobName": "pushgateway",
        "honorLabels": True,
        "scrapeInterval": "15s",
        "staticConfigs": [{"targets": [ADDRESSES["pushgateway"]]}],
    },
}
_RULE: Dict[str, Any] = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "PrometheusRule",
    "metadata": {"name": "sedna", "namespace": "monitoring"},
    "spec": RULES,
}
_KUBE_STATE_METRICS: Dict[str, Any] = {
    "metricLabelsAllowlist": [f"pods=[{kube_state_metrics.POD_LABELS}]"],
    "rbac": {"extraRules": kube_state_metrics.RULES},
    "customResourceState": {"enabled": True, "config": kube_state_metrics.CONFIG},
    "prometheus": {
        "monitor": {
            "enabled": True,
            "http": {
                "honorLabels": True,
                "metricRelabelings": _camel(kube_state_metrics.STAGES_IN_LOWER_CASE),
            },
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
        }
    },
    "grafana": {
        "sidecar": {
            "dashboards": {"enabled": True, "label": "grafana_dashboard"},
            "datasources": {"enabled": True, "uid": "prometheus"},
        },
    },
}

FILES = {
    "prometheus-operator/podmonitor.yml": dump(POD_MONITOR, "Sedna's workers for the Prometheus Operator."),
    "prometheus-operator/scrapeconfig.yml": dump(_PUSHGATEWAY, "The Pushgateway for the Prometheus Operator."),
    "prometheus-operator/prometheusrule.yml": dump(_RULE, "Recording rules and alerts for the Prometheus Operator."),
    "helm/kube-state-metrics.yml": dump(_KUBE_STATE_METRICS, "Values for the chart kube-state-metrics."),
    "helm/kube-prometheus-stack.yml": dump(_KUBE_PROMETHEUS_STACK, "Values for the chart kube-prometheus-stack."),
}
