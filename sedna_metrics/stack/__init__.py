"""The operator's side: configuration for Prometheus, kube-state-metrics, Loki and Grafana.

``files/`` is what :func:`export` writes, valid as it stands. ``tools/stackgen`` (``make stack``) writes what rests on
the metric catalogue in it; the rest is written by hand.
"""

from __future__ import annotations

from sedna_metrics.stack._check import Finding, check, check_cluster
from sedna_metrics.stack._export import ADDRESSES, export

__all__ = ["ADDRESSES", "Finding", "check", "check_cluster", "export"]
