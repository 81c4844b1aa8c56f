"""``sedna-metrics catalogue``: the metric contract, for people and for programs."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from typing import Any, Callable, Dict, List

from sedna_metrics.catalogue import ALL, COMMON_LABELS, Metric


def add_to(commands: Any) -> None:
    """Add this command to the parser."""
    parser = commands.add_parser("catalogue", help="print every metric that a worker can emit")
    parser.add_argument("--format", choices=sorted(_FORMATS), default="table", help="default: table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the catalogue."""
    print(_FORMATS[arguments.format]())
    return 0


def as_json() -> str:
    """A list of objects; the common labels are not repeated on each."""
    names = ("name", "type", "labels", "unit", "proposal", "help", "form", "states")
    return json.dumps([{name: getattr(metric, name) for name in names} for metric in ALL], indent=2)


def as_markdown() -> str:
    """A table for a docs page."""
    lines = ["| metric | type | labels | proposal | meaning |", "|---|---|---|---|---|"]
    for metric in ALL:
        proposal = ", ".join(metric.proposal)
        lines.append(
            f"| `{metric.name}` | {_form(metric)} | {_labels(metric, '`')} | {proposal} | {metric.description} |"
        )
    return "\n".join(lines)


def as_table() -> str:
    """For a terminal: each metric with its type, labels and names in the proposal, and its description below."""
    width = max(60, shutil.get_terminal_size().columns - 1)
    lines: List[str] = []
    for metric in ALL:
        labels = f"labels: {_labels(metric, '')}" if metric.labels else ""
        more = ", ".join(filter(None, (_form(metric), labels, *metric.proposal)))
        lines.append(metric.name)
        for text in (more, metric.description):
            lines += textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
    legend = (
        f"Every series also has the labels {' and '.join(COMMON_LABELS)}. info: a gauge that is always 1. "
        "state: one gauge for each state; exactly one is 1, the others are 0."
    )
    return "\n".join([*lines, "", *textwrap.wrap(legend, width)])


def _form(metric: Metric) -> str:
    return metric.type if metric.form == metric.type else f"{metric.type} ({metric.form})"


def _labels(metric: Metric, quote: str) -> str:
    shown: List[str] = []
    for label in metric.labels:
        if label == metric.state_label:
            label = f"{label}={'/'.join(metric.states)}"
        shown.append(f"{quote}{label}{quote}")
    return ", ".join(shown)


_FORMATS: Dict[str, Callable[[], str]] = {"table": as_table, "json": as_json, "markdown": as_markdown}
