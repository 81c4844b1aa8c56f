"""The operator's side: Prometheus configuration and rules, generated from the catalogue."""

from __future__ import annotations

from sedna_metrics.stack._export import ForeignFiles, export
from sedna_metrics.stack._rules import ALERTS, RECORDINGS, Alert, Recording

__all__ = ["ALERTS", "RECORDINGS", "Alert", "ForeignFiles", "Recording", "export"]
