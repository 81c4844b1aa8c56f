"""``sedna-metrics stack``: configuration for the operator's servers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sedna_metrics.stack import ADDRESSES, check, check_cluster, export


def add_to(commands: Any) -> None:
    parser = commands.add_parser("stack", help="configuration for Prometheus, kube-state-metrics, Loki and Grafana")
    actions = parser.add_subparsers(metavar="ACTION", dest="action")
    actions.required = True  # an argument only since Python 3.7
    writing = actions.add_parser("export", help="write the files into a folder")
    writing.add_argument("folder", type=Path, metavar="DIR", help="the folder to write; made if it is missing")
    for server, address in ADDRESSES.items():
        kind = "URL" if "://" in address else "HOST:PORT"
        about = f"address of {server.replace('_', ' ')}; default: {address}"
        writing.add_argument(f"--{server.replace('_', '-')}", metavar=kind, help=about)
    writing.add_argument("--force", action="store_true", help="overwrite files that this command did not write")
    looking = actions.add_parser("check", help="check whether an exported folder is complete, valid and up to date")
    looking.add_argument("folder", type=Path, metavar="DIR", help="a folder that export has written")
    looking.add_argument("--cluster", action="store_true", help="also check kubectl's cluster: can it take the folder?")


def run(arguments: argparse.Namespace) -> int:
    """Write the files, or check them; 1 if something is wrong."""
    folder = arguments.folder
    if arguments.action == "export":
        given = {name: getattr(arguments, name) for name in ADDRESSES if getattr(arguments, name)}
        print(f"wrote {len(export(folder, arguments.force, **given))} files to {folder}")
        print(f"Next, on Kubernetes: kubectl apply -k {folder}    (docs/kubernetes.md; elsewhere docs/operator.md)")
        return 0
    findings = [*check(folder), *(check_cluster() if arguments.cluster else ())]
    for finding in findings:
        said = finding.problem or finding.note
        print(f"{'wrong' if finding.problem else 'ok   '} {finding.subject}{': ' if said else ''}{said}")
    return 1 if any(finding.problem for finding in findings) else 0
