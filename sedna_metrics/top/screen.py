"""The table: with colours and keys on a terminal, plain elsewhere."""

from __future__ import annotations

import math
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from sedna_metrics.top.figures import Figures

_SPARKS = "▁▂▃▄▅▆▇█"
_BAR = 10  # characters

Cell = Callable[[Figures], str]
COLUMNS: Tuple[Tuple[str, Cell], ...] = (
    ("TASK", lambda each: each.task),
    ("WORKER", lambda each: each.worker or each.source),
    ("STATE", lambda each: each.problem or each.state),
    ("PROGRESS", lambda each: bar(each.done)),
    ("LEFT", lambda each: duration(each.remaining)),
    ("LOSS", lambda each: f"{each.losses[-1]:.4g} {spark(each.losses)}" if each.losses else ""),
    ("EDGE/S", lambda each: number(each.edge_rate)),
    ("CLOUD/S", lambda each: number(each.cloud_rate)),
    ("HARD", lambda each: "" if each.hard_ratio is None else f"{each.hard_ratio:.0%}"),
    ("P50", lambda each: duration(each.p50)),
    ("P95", lambda each: duration(each.p95)),
    ("ERRORS", lambda each: number(each.errors)),
    ("PUSHES", lambda each: pushes(each)),
    ("NODE", lambda each: "" if each.node == "unknown" else each.node),
)
KEYS: Dict[str, Tuple[str, Callable[[Figures], object]]] = {
    "t": ("task", lambda each: (each.task, each.worker)),
    "l": ("loss", lambda each: -(each.losses[-1] if each.losses else -math.inf)),
    "r": ("rate", lambda each: -((each.edge_rate or 0.0) + (each.cloud_rate or 0.0))),
    "h": ("hard", lambda each: -(each.hard_ratio or 0.0)),
    "p": ("p95", lambda each: -(each.p95 or 0.0)),
    "e": ("errors", lambda each: -(each.errors or 0.0)),
}
"""What the keys sort by."""


def ordered(figures: Sequence[Figures], key: str) -> List[Figures]:
    """By what the key stands for; sources that do not answer come last."""
    return sorted(figures, key=lambda each: (bool(each.problem), KEYS[key][1](each)))


def cells(figures: Sequence[Figures]) -> List[List[str]]:
    """The table's text, the headings first; of the columns after the third those that say nothing are left out."""
    body = [[_printable(cell(each)) for _, cell in COLUMNS] for each in figures]
    shown = [place for place in range(len(COLUMNS)) if place < 3 or any(row[place] for row in body)]
    return [[COLUMNS[place][0] for place in shown], *([row[place] for place in shown] for row in body)]


def _printable(text: str) -> str:
    # Labels are whatever somebody pushed: an escape sequence would be the terminal's command, a newline another row.
    return "".join(each if each.isprintable() else "?" for each in text)


def plain(figures: Sequence[Figures]) -> str:
    """Columns for what is no terminal."""
    rows = cells(figures)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)


def number(value: Optional[float]) -> str:
    """Three digits are enough to see."""
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def duration(seconds: Optional[float]) -> str:
    """From milliseconds to hours."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.3g}ms" if seconds else "0s"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def bar(done: Optional[float]) -> str:
    """How far it is, as a bar and a number."""
    if done is None:
        return ""
    full = round(done * _BAR)
    return f"{'█' * full}{'░' * (_BAR - full)} {done:.0%}"


def spark(values: Sequence[float]) -> str:
    """The course of values; what is no number is ``!``."""
    finite = [value for value in values if math.isfinite(value)]
    low = min(finite, default=0.0)
    span = max(finite, default=0.0) - low or 1.0
    return "".join(
        _SPARKS[int((value - low) / span * (len(_SPARKS) - 1))] if math.isfinite(value) else "!" for value in values
    )


def pushes(each: Figures) -> str:
    """Tried, failed and waiting."""
    if each.pushes is None:
        return ""
    failed = f" {each.failed_pushes:.0f} failed" if each.failed_pushes else ""
    return f"{each.pushes:.0f}{failed}" + (f" {each.spooled:.0f} wait" if each.spooled else "")
