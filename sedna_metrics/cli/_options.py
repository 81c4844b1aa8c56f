"""Settings as options of a command."""

from __future__ import annotations

import argparse
from typing import Any, Callable, Dict, Iterable

from sedna_metrics.settings import TABLE, Setting


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """An option for each of these settings, whose value is checked as it is parsed."""
    for setting in TABLE:
        if setting.name in names:
            about = f"{setting.doc} ({setting.kind}; default: {setting.default or 'empty'})"
            parser.add_argument(
                f"--{setting.name.replace('_', '-')}",
                dest=f"setting_{setting.name}",
                metavar="VALUE",
                type=_checked(setting),
                help=about.replace("%", "%%"),
            )


def given(arguments: argparse.Namespace) -> Dict[str, Any]:
    """The settings that the command line has."""
    values = {setting.name: getattr(arguments, f"setting_{setting.name}", None) for setting in TABLE}
    return {name: value for name, value in values.items() if value is not None}


def _checked(setting: Setting) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            setting.parse(text)
        except ValueError as why:
            raise argparse.ArgumentTypeError(f"{text!r} is not valid: it {why}") from None
        return text

    return check
