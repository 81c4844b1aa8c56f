"""``sedna-metrics inject``: YAML of Sedna's resources, changed so that their workers are observed."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sedna_metrics import inject


def add_to(commands: Any) -> None:
    """Add this command to the parser."""
    parser = commands.add_parser(
        "inject",
        help="change YAML so that workers in unchanged images are observed",
        description="Write the YAML to stdout, with the bundle added to every pod template: "
        "sedna-metrics inject helmet.yaml | kubectl apply -f -. Needs the extra cli.",
    )
    parser.add_argument("file", metavar="FILE", help="YAML with Sedna's resources, Pods or Deployments; - for stdin")
    parser.add_argument("--uninject", action="store_true", help="take out what inject has added")
    url = inject.PUSHGATEWAY_URL
    parser.add_argument("--pushgateway-url", metavar="URL", default=url, help=f"where jobs push; default: {url}")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the YAML; 1 if the file cannot be read, 2 if the YAML library is missing."""
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:
        print("sedna-metrics inject: ruamel.yaml is missing; pip install sedna-metrics[cli]", file=sys.stderr)
        return 2
    yaml = YAML()  # keeps comments and the order of keys
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    change = inject.uninject if arguments.uninject else inject.inject
    try:
        with sys.stdin if arguments.file == "-" else open(arguments.file, encoding="utf-8") as file:
            documents = list(yaml.load_all(file))
    except (OSError, UnicodeError, YAMLError) as why:
        print(f"sedna-metrics inject: {arguments.file} cannot be read: {why}", file=sys.stderr)
        return 1
    changed = 0
    for document in documents:
        items = document.get("items", [document]) if isinstance(document, dict) else []
        changed += sum(change(item, arguments.pushgateway_url) for item in items if isinstance(item, dict))
    yaml.dump_all(documents, sys.stdout)
    what = "restored" if arguments.uninject else "changed"
    print(f"sedna-metrics inject: {changed} of {len(documents)} resources {what}", file=sys.stderr)
    return 0
