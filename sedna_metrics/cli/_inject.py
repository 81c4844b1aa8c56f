"""``sedna-metrics inject``: YAML of Sedna's resources, changed so that their workers are observed."""

from __future__ import annotations

import argparse
import sys
from typing import Any, List

from sedna_metrics import inject
from sedna_metrics.errors import SednaMetricsError, SettingError


def add_to(commands: Any) -> None:
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


def run(arguments: argparse.Namespace) -> int:
    """Write the YAML, all of it or nothing; 1 if it cannot be read or changed, 2 if the YAML library is missing."""
    try:
        from ruamel.yaml import YAML
    except ImportError:
        raise SettingError("ruamel.yaml is missing; pip install sedna-metrics[cli]") from None
    yaml = YAML()  # keeps comments and the order of keys
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        with sys.stdin if arguments.file == "-" else open(arguments.file, encoding="utf-8") as file:
            documents = list(yaml.load_all(file))
        resources = [resource for document in documents for resource in _resources(document)]
        if arguments.uninject:
            changed = sum(map(inject.uninject, resources))
        else:
            changed = sum(inject.inject(resource, arguments.pushgateway_url) for resource in resources)
    except Exception as why:  # malformed YAML can raise anything in the parser
        raise SednaMetricsError(f"{arguments.file} cannot be read: {why}") from why
    yaml.dump_all(documents, sys.stdout)
    what = "restored" if arguments.uninject else "changed"
    print(f"sedna-metrics inject: {changed} of {len(resources)} resources {what}", file=sys.stderr)
    return 0


def _resources(document: Any) -> List[Any]:
    """The document itself, or those of a List."""
    items = document.get("items") if isinstance(document, dict) else None
    return [each for each in (items if isinstance(items, list) else [document]) if isinstance(each, dict)]
