"""Grafana's dashboards, by the builders of Grafana's foundation SDK (which needs Python 3.11)."""

from __future__ import annotations

from stackgen.dashboards import (
    federated_learning,
    incremental_learning,
    joint_inference,
    library,
    lifelong_learning,
    logs,
    overview,
    system,
)

_BOARDS = (
    overview,
    joint_inference,
    incremental_learning,
    federated_learning,
    lifelong_learning,
    system,
    library,
    logs,
)

FILES = {f"grafana/dashboards/{each.__name__.rpartition('.')[2]}.json": each.BOARD for each in _BOARDS}
