"""``sedna-metrics bundle``: writes the bundle that observes Sedna in unchanged images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sedna_metrics.inject import bundle


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "bundle",
        help="write the bundle, as a ConfigMap or zip file, that observes Sedna in unchanged images",
        description="Write one zip file with the library and its dependencies for Python 3.6 and later. pip downloads "
        "them. docs/inject.md says how pods get it.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="zip file to write; .yaml: a ConfigMap with it")
    parser.add_argument("--wheels", metavar="DIR", type=Path, help="folder with our own wheels, made by make dist")


def run(arguments: argparse.Namespace) -> int:
    """Write it."""
    content = bundle.build(arguments.wheels)
    if arguments.file.suffix in (".yaml", ".yml"):
        arguments.file.write_text(bundle.config_map(content), encoding="utf-8")
        print(f"Next: kubectl apply --server-side --namespace NAMESPACE --filename {arguments.file}")
    else:
        arguments.file.write_bytes(content)
    print(f"{arguments.file}: the bundle has {len(content):,} bytes")
    return 0
