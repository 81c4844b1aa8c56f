"""All files that are written: contents by path."""

from __future__ import annotations

from typing import Dict

from stackgen import dashboards, helm, inject, kube_state_metrics, operator, rules, scrape

FILES: Dict[str, str] = {
    **dashboards.FILES,
    **helm.FILES,
    **inject.FILES,
    **kube_state_metrics.FILES,
    **operator.FILES,
    **rules.FILES,
    **scrape.FILES,
}
