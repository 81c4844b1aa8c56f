"""How the generated YAML looks."""

from __future__ import annotations

from typing import Any, Sequence

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes out what stands twice: anchors are hard to read, and to copy from."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _sequence(dumper: _Dumper, items: Sequence[Any]) -> yaml.Node:
    """Words stand on one line."""
    return dumper.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=all(isinstance(item, str) for item in items)
    )


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    """What has several lines keeps them."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(list, _sequence)
_Dumper.add_representer(str, _text)


def dump(document: Any, comment: str) -> str:
    """The document, under a comment of one line."""
    return dump_all([document], comment)


def dump_all(documents: Sequence[Any], comment: str) -> str:
    """The documents, under a comment of one line."""
    body: str = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=120)
    return f"# {comment}\n# Written by make stack.\n{body}"
