"""Panels about custom resources, by what kube-state-metrics tells of them."""

from __future__ import annotations

from stackgen._kinds import KINDS, Kind
from stackgen.dashboards._panels import Built, states
from stackgen.dashboards._queries import resource_state


def kind_of(camel: str) -> Kind:
    """The kind of this name."""
    return next(kind for kind in KINDS if kind.camel == camel)


def condition(camel: str, span: int = 12) -> Built:
    """The newest condition of each resource of the kind."""
    kind = kind_of(camel)
    by = "namespace, name" + (", task_stage" if kind.has_stages else "")
    legend = "{{name}}" + (" {{task_stage}}" if kind.has_stages else "")
    query = resource_state(f"sedna_{kind.snake}_condition", "condition", kind.conditions, by)
    return states(
        f"StageConditionStatus: {camel}" if kind.has_stages else f"Condition: {camel}",
        "Newest condition in the status of the custom resource.",
        {legend: query},
        kind.conditions,
        span,
    )
