"""The shipped dashboards, read back: panels and their queries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List

from sedna_metrics.stack._export import FILES

DASHBOARDS: Dict[str, Dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((FILES / "grafana" / "dashboards").glob("*.json"))
}


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    board: str
    panel: str
    expr: str
    is_instant: bool


def panels(board: str) -> List[Dict[str, Any]]:
    """The panels, without the rows' headings."""
    return [panel for panel in DASHBOARDS[board]["panels"] if panel["type"] != "row"]


def queries(datasource: str) -> Iterator[Query]:
    """All queries to ``prometheus`` or ``loki``."""
    for board in DASHBOARDS:
        for panel in panels(board):
            for target in panel["targets"]:
                if target["datasource"]["type"] == datasource:
                    instant = bool(target.get("instant"))
                    yield Query(board, panel["title"], target["expr"], instant)


def filled(expr: str, rate_interval: str = "1m", **chosen: str) -> str:
    """The expression as Grafana sends it: variables that are not ``chosen`` are All."""
    values = {
        "namespace": ".*",
        "task": ".*",
        "worker": ".*",
        "search": "",
        "__rate_interval": rate_interval,
        "__range": "5m",
        "__auto": "1m",
        **chosen,
    }
    for name in sorted(values, key=len, reverse=True):
        expr = expr.replace(f"${name}", values[name])
    assert "$" not in expr, f"a variable that nothing fills in: {expr}"
    return expr
