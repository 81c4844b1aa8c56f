"""Scraping and rules for the Prometheus Operator."""

from __future__ import annotations

import re
from typing import Any, Dict, List

from sedna_metrics.stack._export import ADDRESSES
from stackgen._yaml import dump
from stackgen.rules import RULES
from stackgen.scrape import NO_COPIES, ONE_SPELLING, POD_RELABELLING, PORT_NAME


def camel(rules: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Relabelling as the operator's resources spell it."""
    return [{re.sub("_(.)", lambda m: m[1].upper(), key): value for key, value in rule.items()} for rule in rules]


_POD_MONITOR: Dict[str, Any] = {
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
                "relabelings": camel([*POD_RELABELLING, {"target_label": "job", "replacement": "sedna-workers"}]),
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
        "metricRelabelings": camel([NO_COPIES, *ONE_SPELLING]),
    },
}
_RULE: Dict[str, Any] = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "PrometheusRule",
    "metadata": {"name": "sedna", "namespace": "monitoring"},
    "spec": RULES,
}
FILES = {
    "prometheus-operator/podmonitor.yml": dump(_POD_MONITOR, "Sedna's workers for the Prometheus Operator."),
    "prometheus-operator/scrapeconfig.yml": dump(_PUSHGATEWAY, "The Pushgateway for the Prometheus Operator."),
    "prometheus-operator/prometheusrule.yml": dump(_RULE, "Recording rules and alerts for the Prometheus Operator."),
}
