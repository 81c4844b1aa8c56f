"""``sedna-metrics flush``: delivers and cleans up what workers of this node left behind."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, List

from sedna_metrics import settings as settings_module
from sedna_metrics._http import printable
from sedna_metrics.cli._options import add_settings, given
from sedna_metrics.errors import SettingError
from sedna_metrics.exposition import discovery
from sedna_metrics.exposition.pushgateway import PushError, Pushgateway, group_path
from sedna_metrics.exposition.spool import open_spool
from sedna_metrics.identity import COPY_JOB, PUSH_JOB
from sedna_metrics.settings import Settings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "flush",
        help="deliver spooled pushes, remove entries of dead workers, prune old groups",
        description="Deliver the pushes that workers of this node could not deliver, and remove the file_sd entries of "
        "dead workers. The workers' SEDNA_METRICS_* variables apply.",
    )
    add_settings(parser, ("pushgateway_url", "spool_dir", "sd_dir"))
    parser.add_argument(
        "--prune-older-than",
        metavar="AGE",
        type=duration,
        help="delete workers' groups on the Pushgateway whose last push is older, for example 7d",
    )


def run(arguments: argparse.Namespace) -> int:
    """Flush; returns 0 if nothing is left to do, 1 if something still waits, 2 if the call is wrong."""
    settings = settings_module.load(os.environ, given(arguments))
    if not settings.pushgateway_url and arguments.prune_older_than is not None:
        raise SettingError("--prune-older-than needs --pushgateway-url")
    problems: List[str] = []
    if settings.sd_dir:
        try:
            print(f"{settings.sd_dir}: entries of dead workers removed: {discovery.sweep(Path(settings.sd_dir))}")
        except OSError as why:
            problems.append(f"cannot sweep {settings.sd_dir}: {why}")
    if settings.pushgateway_url:
        gateway = Pushgateway(settings)
        problems += _deliver(settings, gateway)
        if arguments.prune_older_than is not None:
            problems += _prune(gateway, arguments.prune_older_than)
        gateway.close()
    else:
        _list(settings)
    for problem in problems:
        print(f"sedna-metrics flush: {problem}", file=sys.stderr)
    return 1 if problems else 0


def duration(text: str) -> float:
    """Seconds of a duration as Prometheus writes it: 90s, 15m, 12h, 7d, 2w."""
    match = re.fullmatch(r"(\d{1,9})([smhdw])", text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 90s, 12h or 7d")
    return float(match.group(1)) * _UNITS[match.group(2)]


def _list(settings: Settings) -> None:
    """List the spooled pushes; if there are any, raise SettingError: the gateway is unknown."""
    spool = open_spool(settings)
    waiting = spool.entries() if spool is not None else []
    for entry in waiting:
        print(f"waits for {printable(entry.gateway)}: {printable(entry.group)}")
    if waiting:
        raise SettingError(f"{len(waiting)} spooled; name the gateway: --pushgateway-url")
    if not settings.sd_dir:
        print("Nothing to flush: no spooled push, no --sd-dir.")


def _deliver(settings: Settings, gateway: Pushgateway) -> List[str]:
    spool = open_spool(settings)
    if spool is None:
        return ["the spool is off or cannot be used"]
    report = spool.deliver(gateway)
    print(f"{spool.folder}: {report.delivered} delivered, {report.dropped} dropped, {len(spool)} still wait")
    return [str(report.error)] if report.error else []


def _prune(gateway: Pushgateway, age: float) -> List[str]:
    old: List[str] = []
    try:
        for group in gateway.groups():
            labels, pushed = group["labels"], group["push_time_seconds"]["metrics"][0]["value"]
            if labels.get("job") in (PUSH_JOB, COPY_JOB) and time.time() - float(pushed) > age:
                old.append(group_path(labels))
        for path in old:
            gateway.delete(path)
    except PushError as why:
        return [f"cannot prune: {why}"]
    print(f"{gateway.url}: groups pruned: {len(old)}")
    return []
