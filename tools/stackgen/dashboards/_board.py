"""A dashboard: its rows, the variables that the reader chooses, and its JSON."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Dict, List, Optional, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from sedna_metrics.catalogue import worker
from stackgen.dashboards import _panels

Rows = Dict[str, Sequence[_panels.Built]]

_TAG = "sedna"
_WIDTH = 24  # of Grafana's grid
_OF_TASK = 'namespace=~"$namespace",task=~"$task"'
_ALL = VariableOption(text="All", value="$__all", selected=True)


def board(uid: str, title: str, description: str, rows: Rows, tasks_from: Optional[str] = None) -> str:
    """The dashboard's JSON.

    Args:
        uid: stable, since links and bookmarks rest on it.
        title: what the reader sees.
        description: one sentence.
        rows: panels by the title of their row; those of the last row, the logs, are added.
        tasks_from: a selector of series whose tasks can be chosen; those of all workers otherwise.
    """
    tasks = tasks_from or f'{worker.WORKER_INFO.name}{{namespace=~"$namespace"}}'
    built = (
        dashboard.Dashboard(f"Sedna / {title}")
        .uid(uid)
        .description(description)
        .tags([_TAG])
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-1h", "now")
        .link(
            dashboard.DashboardLink("Sedna")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([_TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("prometheus").label("Metrics").type("prometheus"))
        .with_variable(dashboard.DatasourceVariable("loki").label("Logs").type("loki"))
        .with_variable(_choice("namespace", worker.WORKER_INFO.name).all_value(".*"))
        .with_variable(_choice("task", tasks))  # All is all of these: a board of one kind shows that kind alone
        .with_variable(_choice("worker", f"{worker.WORKER_INFO.name}{{{_OF_TASK}}}").all_value(".*"))
        .with_variable(dashboard.TextBoxVariable("search").label("Log lines with").default_value(""))
    )
    top = 0
    for name, panels in {**rows, "Logs": _panels.log_panels()}.items():
        built = built.with_row(dashboard.Row(name).grid_pos(GridPos(h=1, w=_WIDTH, x=0, y=top)))
        top = _arrange(panels, top + 1)
        for panel in panels:
            built = built.with_panel(panel)
    made = built.build()
    for number, each in enumerate(made.panels or [], 1):
        each.id_val = number
    return json.dumps(made, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _arrange(panels: Sequence[_panels.Built], top: int) -> int:
    """Put the panels in lines of one height, each as wide as the dashboard; gives where the next row begins."""
    lines: List[List[GridPos]] = []
    for place in (panel.build().grid_pos for panel in panels):
        assert place is not None  # each panel has a span and a height
        line = lines[-1] if lines else []
        if not line or line[0].h != place.h or sum(each.w for each in line) + place.w > _WIDTH:
            lines.append([place])
        else:
            line.append(place)
    for line in lines:
        wanted = list(accumulate(place.w for place in line))
        edges = [0, *(_WIDTH * width // wanted[-1] for width in wanted)]
        for place, left, right in zip(line, edges, edges[1:]):
            place.x, place.y, place.w = left, top, right - left
        top += line[0].h
    return top


def _choice(label: str, series: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(label)
        .label(label.capitalize())
        .query({"query": f"label_values({series}, {label})", "refId": label})
        .datasource(_panels.PROMETHEUS)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(_ALL)
    )
