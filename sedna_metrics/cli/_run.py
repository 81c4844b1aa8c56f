"""``sedna-metrics run``: an unedited Sedna script, with its task's metrics and its log."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from typing import Any

from sedna_metrics import _runtime, auto, settings
from sedna_metrics.cli._options import add_settings, given
from sedna_metrics.errors import SednaMetricsError

_DESCRIPTION = """\
Run a Python script as python does, and observe Sedna's classes in it: its inferences, trainings, evaluations and
aggregations become the task's metrics. Each setting is an option, except for secrets, which other users of the machine
could read. What follows the script, or -m MODULE, are the script's own arguments."""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "run",
        help="run an unedited Sedna script with metrics and log",
        usage="sedna-metrics run [options] (SCRIPT | -m MODULE) [arguments]",
        description=_DESCRIPTION,
        allow_abbrev=False,
    )
    add_settings(parser, [setting.name for setting in settings.TABLE if not setting.secret])
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="run a module instead of a script")
    parser.add_argument("script", nargs=argparse.REMAINDER, help="the script and its arguments")
    parser.set_defaults(parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the script in this process; gives the exit status if the script itself does not end the process."""
    command = arguments.module or arguments.script
    if command[:1] == ["--"]:
        del command[0]
    if not command:
        arguments.parser.error("give a script, or -m and a module")
    name = command[0]
    if not arguments.module and not os.path.exists(name):
        arguments.parser.error(f"there is no script {name!r}")
    sys.argv[:] = command
    try:
        worker = _runtime.start_with(given(arguments))
    except SednaMetricsError as why:
        print(f"sedna-metrics run: {why}", file=sys.stderr)
        return 2
    auto.observe_sedna(worker)
    # As python sets it: the script's folder, or the current one. For folders and archives runpy does it.
    if not getattr(sys.flags, "safe_path", False) and not sys.flags.isolated:
        sys.path[0] = os.getcwd() if arguments.module else os.path.dirname(os.path.realpath(name))
    try:
        if arguments.module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(name, run_name="__main__")
    except SystemExit as end:
        if end.code in (None, 0):
            worker.success()
        raise
    worker.success()
    # The worker is closed as the process ends, after the script's threads: Sedna's hot update is one.
    return 0
