"""The command ``sedna-metrics``."""

from __future__ import annotations

import argparse
from typing import List, Optional

from sedna_metrics._version import __version__
from sedna_metrics.cli import _bundle, _catalogue, _doctor, _flush, _inject, _run, _stack, _top


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command; gives its exit status."""
    parser = argparse.ArgumentParser(prog="sedna-metrics", description="Metrics and logs of KubeEdge Sedna workers.")
    parser.add_argument("--version", action="version", version=f"sedna-metrics {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _bundle.add_to(commands)
    _catalogue.add_to(commands)
    _doctor.add_to(commands)
    _flush.add_to(commands)
    _inject.add_to(commands)
    _run.add_to(commands)
    _stack.add_to(commands)
    _top.add_to(commands)
    arguments = parser.parse_args(argv)
    if "run" not in arguments:
        parser.print_help()
        return 2
    try:
        status: int = arguments.run(arguments)
    except (BrokenPipeError, KeyboardInterrupt) as end:
        if arguments.run is _run.run:
            raise  # the script's own
        # Whoever read our output has seen enough of it, or pressed Ctrl-C: 130, as of a shell.
        return 1 if isinstance(end, BrokenPipeError) else 130
    return status
