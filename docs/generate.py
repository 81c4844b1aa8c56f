"""Writes the reference pages from the code: ``docs/metrics.md`` and ``docs/events.md`` from the catalogue,
``docs/settings.md`` from the settings. ``make reference`` runs it; a test compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from sedna_metrics.catalogue import ALL, COMMON_LABELS, log
from sedna_metrics.cli._catalogue import form_of, labels_of
from sedna_metrics.settings import TABLE

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py; change the code it is made from, then run: make reference -->\n"


def metrics() -> str:
    """The metric reference."""
    common = " and ".join(f"`{name}`" for name in COMMON_LABELS)
    rows = [
        f"| `{metric.name}` | {form_of(metric)} | {labels_of(metric, '`')} | {', '.join(metric.proposal)} "
        f"| {metric.description} |"
        for metric in ALL
    ]
    return (
        f"{NOTE}\n# Metrics\n\nEvery series also has the labels {common}. *info*: a gauge that is always 1, whose "
        "labels are the information. *state*: one 0/1 gauge for each state, of which exactly one is 1.\n\n"
        "| metric | type | labels | proposal | meaning |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def settings() -> str:
    """The settings reference."""
    rows = [
        f"| `{setting.variable}` | {setting.kind} | {setting.default and f'`{setting.default}`'} | {setting.doc} |"
        for setting in TABLE
    ]
    return (
        f"{NOTE}\n# Settings\n\nEach is an environment variable and an argument of `sedna_metrics.start()`, such "
        "as `push_interval`; the argument wins. `start()` raises if a value is invalid.\n\n"
        "| variable | value | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


#: Fields of many events, explained once.
COMMON_FIELDS = {"error": "type of the exception", "reason": "its text, at most 500 characters"}


def events() -> str:
    """The reference of lifecycle events."""
    rows = [
        f"| `{event.name}` | {event.level} | {event.when} | "
        + "<br>".join(
            f"`{name}`" if COMMON_FIELDS.get(name) == meaning else f"`{name}`: {meaning}"
            for name, meaning in event.fields.items()
        )
        + " |"
        for event in log.EVENTS
    ]
    return (
        f"{NOTE}\n# Log events\n\nThe field `event` of a line has one of these names. After each field's name "
        f"comes the metric that has the same value, or the field's meaning. `error` is the {COMMON_FIELDS['error']}, "
        f"`reason` {COMMON_FIELDS['reason']}. A field whose value is not known is left out.\n\n"
        "| event | level | when | fields |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


PAGES: Dict[str, str] = {"events.md": events(), "metrics.md": metrics(), "settings.md": settings()}

if __name__ == "__main__":
    for name, text in PAGES.items():
        (DOCS / name).write_text(text, encoding="utf-8")
