"""``sedna-metrics catalogue``: the metric contract, for people and for programs."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from typing import Any, List

from sedna_metrics.catalogue import ALL, COMMON_LABELS, Metric


def add_to(commands: Any) -> None:
    parser = commands.add_parser("catalogue", help="print every metric that a worker can emit")
    parser.add_argument("--format", choices=["json", "table"], default="table", help="default: table")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalogue; in JSON the common labels are not repeated on each metric."""
    if arguments.format == "json":
        names = ("name", "type", "labels", "unit", "proposal", "help", "form", "states")
        print(json.dumps([{name: getattr(metric, name) for name in names} for metric in ALL], indent=2))
    else:
        print(_table())
    return 0


def _table() -> str:
    """For a terminal: each metric with its type, labels and names in the proposal, and its description below."""
    width = max(60, shutil.get_terminal_size().columns - 1)
    lines: List[str] = []
    for metric in ALL:
        labels = f"labels: {labels_of(metric)}" if metric.labels else ""
        more = ", ".join(filter(None, (form_of(metric), labels, *metric.proposal)))
        lines.append(metric.name)
        for text in (more, metric.description):
            lines += textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
    legend = (
        f"Every series also has the labels {' and '.join(COMMON_LABELS)}. info: a gauge that is always 1. "
        "state: one gauge for each state; exactly one is 1, the others are 0."
    )
    return "\n".join([*lines, "", *textwrap.wrap(legend, width)])


def form_of(metric: Metric) -> str:
    """Its type, and what it is beside that."""
    return metric.type if metric.form == metric.type else f"{metric.type} ({metric.form})"


def labels_of(metric: Metric, quote: str = "") -> str:
    """Its own labels, with the states of a state's label."""
    states = {metric.state_label: f"={'/'.join(metric.states)}"}
    return ", ".join(f"{quote}{label}{states.get(label, '')}{quote}" for label in metric.labels)
