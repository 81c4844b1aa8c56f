"""The Prometheus text format, byte for byte as ``prometheus_client.generate_latest`` writes it."""

from __future__ import annotations

from typing import Mapping

from prometheus_client.utils import floatToGoString

from sedna_metrics._compat import is_ascii

MAX_LABEL_LENGTH = 1000
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def format_value(value: float) -> str:
    """A sample's value. Where the notation is in question (from a million on, NaN, infinities) theirs is asked."""
    return repr(value) if -1e6 < value < 1e6 else str(floatToGoString(value))  # type: ignore[no-untyped-call]


def label_value(text: str) -> str:
    """A label value of the worker's: one that can be encoded, of at most :data:`MAX_LABEL_LENGTH` characters."""
    text = text[:MAX_LABEL_LENGTH]
    return text if is_ascii(text) else text.encode("utf-8", "replace").decode("utf-8")


def format_labels(labels: Mapping[str, str]) -> str:
    """The label part of a line, sorted by name, braces included; empty for no labels."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{labels[name].translate(_ESCAPES)}"' for name in sorted(labels)) + "}"


def format_header(name: str, type_: str, help_: str) -> str:
    return f"# HELP {name} {help_.translate(_HELP_ESCAPES)}\n# TYPE {name} {type_}\n"
