"""The command ``sedna-metrics``.

Each command is a module: ``add_to`` adds its parser, ``run`` runs it and returns the exit status.
"""

from __future__ import annotations

import argparse
import sys
from typing import List, Optional

from sedna_metrics._version import __version__
from sedna_metrics.cli import _bundle, _catalogue, _doctor, _flush, _inject, _run, _stack, _top
from sedna_metrics.errors import SednaMetricsError, SettingError

_MODULES = (_bundle, _catalogue, _doctor, _flush, _inject, _run, _stack, _top)
_COMMANDS = {module.__name__.rpartition("._")[2]: module for module in _MODULES}


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="sedna-metrics", description="Metrics and logs of KubeEdge Sedna workers.")
    parser.add_argument("--version", action="version", version=f"sedna-metrics {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in _COMMANDS.values():
        command.add_to(commands)
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 2
    if arguments.command == "run":
        return _run.run(arguments)  # the script's exceptions are its own
    try:
        return int(_COMMANDS[arguments.command].run(arguments))
    except KeyboardInterrupt:
        return 130  # as of a shell
    except BrokenPipeError:
        return 1  # whoever read our output has seen enough
    except Exception as why:
        kind = "" if isinstance(why, (OSError, SednaMetricsError)) else f"{type(why).__name__}: "
        print(f"sedna-metrics {arguments.command}: {kind}{why}", file=sys.stderr)
        return 2 if isinstance(why, SettingError) else 1
