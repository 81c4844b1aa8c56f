"""Checks a folder of exported files: is it complete, valid, and does it match the metrics of this version?"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, List, NamedTuple, Tuple

from sedna_metrics._version import __version__
from sedna_metrics.catalogue import ALL
from sedna_metrics.stack._export import VERSION, digest, manifest, shipped

_NAME = re.compile(r"\bsedna_[a-z_]+[a-z]\b")


class Finding(NamedTuple):
    """The result of one check: a problem with what to do, a note worth knowing, or neither."""

    subject: str
    problem: str = ""
    note: str = ""


def check(folder: Path) -> Iterator[Finding]:
    """Check the folder; raises NotADirectoryError if there is none."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    yield from _whole(folder)
    for name, text in _texts(folder, "grafana/dashboards/*.json"):
        yield _dashboard(name, text)
    yield from _metrics(folder)
    yield from _prometheus(folder)


def _whole(folder: Path) -> Iterator[Finding]:
    written = manifest(folder)
    if not written:
        yield Finding("export", f"{folder} was not written by sedna-metrics stack export, or an old one")
    elif written.get(VERSION) != __version__:
        old = written.get(VERSION, "an older version")
        yield Finding("export", f"written by sedna-metrics {old}, and this is {__version__}: export again")
    for name in shipped():
        try:
            is_edited = digest(folder / name) != written.get(name)
            yield Finding(name, note="edited since it was exported" if is_edited else "")
        except FileNotFoundError:
            yield Finding(name, "is missing: export again, or leave it out of what you apply")


def _texts(folder: Path, pattern: str) -> Iterator[Tuple[str, str]]:
    for path in sorted(folder.glob(pattern)):
        yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8", errors="replace")


def _dashboard(name: str, text: str) -> Finding:
    try:
        board = json.loads(text)
        said = f"{board['uid']}, {sum(panel['type'] != 'row' for panel in board['panels'])} panels"
    except (ValueError, KeyError, TypeError):
        return Finding(name, 'is no dashboard: it must be a JSON object with "uid" and "panels"')
    if "__inputs" in board:
        return Finding(name, "has __inputs, which provisioning does not fill in: export it from Grafana without them")
    return Finding(name, note=said)


def _metrics(folder: Path) -> Iterator[Finding]:
    """Finds names that neither this version's metrics nor its files have."""
    known = {metric.name for metric in ALL} | {f"{metric.name}_bucket" for metric in ALL}
    for path in shipped().values():
        known.update(_NAME.findall(path.read_text(encoding="utf-8")))
    for pattern in ("prometheus/rules.yml", "grafana/dashboards/*.json", "prometheus-operator/prometheusrule.yml"):
        for name, text in _texts(folder, pattern):
            unknown = sorted(set(_NAME.findall(text)) - known)
            if unknown:
                yield Finding(name, f"asks for what this version of sedna-metrics does not emit: {', '.join(unknown)}")


def _prometheus(folder: Path) -> Iterator[Finding]:
    promtool = shutil.which("promtool")
    if promtool is None:
        yield Finding("promtool", note="not on PATH: rules and scrape configuration were not checked")
        return
    for name, command in (("rules.yml", "rules"), ("standalone.yml", "config"), ("edge-agent.yml", "config")):
        path = folder / "prometheus" / name
        if path.exists():
            agent = ["--agent"] if name == "edge-agent.yml" else []
            yield _run(f"promtool check {command} {name}", [promtool, "check", command, *agent, str(path)])


def _run(subject: str, command: List[str]) -> Finding:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    return Finding(subject, done.stdout.strip().splitlines()[-1].strip() if done.returncode else "")
