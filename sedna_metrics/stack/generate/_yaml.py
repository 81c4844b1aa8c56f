"""How the generated YAML looks."""

from __future__ import annotations

from typing import Any

import yaml


def dump(document: Any, comment: str) -> str:
    """The document, under a comment of one line."""
    body: str = yaml.safe_dump(document, sort_keys=False, width=120)
    return f"# {comment}\n# Written by make stack from the metric catalogue.\n{body}"
