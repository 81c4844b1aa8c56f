"""The Prometheus text format, byte for byte as ``prometheus_client.generate_latest`` writes it."""

from __future__ import annotations

from math import isfinite, isnan
from typing import Mapping

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def format_value(value: float) -> str:
    """A sample's value. From a million on the mantissa and exponent of Go, as prometheus_client writes it."""
    if -1e6 < value < 1e6:
        return repr(value)
    if not isfinite(value):
        return "NaN" if isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    dot = text.find(".")
    if value > 0 and dot > 6:
        mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{mantissa}e+0{dot - 1}"
    return text


def format_bound(bound: float) -> str:
    """The value of a bucket's ``le`` label."""
    return format_value(float(bound))


def format_labels(labels: Mapping[str, str]) -> str:
    """The label part of a line, sorted by name, braces included; empty for no labels."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{labels[name].translate(_ESCAPES)}"' for name in sorted(labels)) + "}"


def format_header(name: str, type_: str, help_: str) -> str:
    """The HELP and TYPE lines of a family."""
    return f"# HELP {name} {help_.translate(_HELP_ESCAPES)}\n# TYPE {name} {type_}\n"
