"""Writes those of ``../files`` that rest on the metric catalogue, or on Sedna's kinds of custom resources.

Run by ``make stack``; needs the extra ``generate``. Each module gives ``FILES``: contents by path.
"""

from __future__ import annotations

from typing import Dict

from sedna_metrics.stack.generate import kube_state_metrics, operator, rules, scrape

FILES: Dict[str, str] = {**kube_state_metrics.FILES, **operator.FILES, **rules.FILES, **scrape.FILES}
