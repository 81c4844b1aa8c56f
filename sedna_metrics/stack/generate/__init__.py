"""Writes those of ``../files`` that rest on the metric catalogue.

Run by ``make stack``; needs the extra ``generate``. Each module gives ``FILES``: contents by path.
"""

from __future__ import annotations

from typing import Dict

from sedna_metrics.stack.generate import rules, scrape

FILES: Dict[str, str] = {**rules.FILES, **scrape.FILES}
