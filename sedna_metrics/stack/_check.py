"""Checks a folder of exported files: is it complete, valid, and does it match the metrics of this version?"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, NamedTuple, Set

from sedna_metrics.catalogue import ALL
from sedna_metrics.stack._export import digest, manifest, shipped

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
    for path in sorted(folder.glob("grafana/dashboards/*.json")):
        yield _dashboard(path, path.relative_to(folder).as_posix())
    yield from _metrics(folder)
    yield from _prometheus(folder)


def _whole(folder: Path) -> Iterator[Finding]:
    written = manifest(folder)
    if not written:
        yield Finding("export", f"{folder} was not written by sedna-metrics stack export, or an old one")
    for name in shipped():
        path = folder / name
        if not path.exists():
            yield Finding(name, "is missing: export again, or leave it out of what you apply")
        elif digest(path) != written.get(name):
            yield Finding(name, note="edited since it was exported")
        else:
            yield Finding(name)


def _dashboard(path: Path, name: str) -> Finding:
    try:
        board = json.loads(path.read_text(encoding="utf-8"))
        panels, uid = board["panels"], board["uid"]
    except (ValueError, KeyError, TypeError) as problem:
        return Finding(name, f"is no dashboard: {type(problem).__name__}: {problem}")
    if "__inputs" in board:
        return Finding(name, "has __inputs, which provisioning does not fill in: export it from Grafana without them")
    return Finding(name, note=f"{uid}, {sum(panel.get('type') != 'row' for panel in panels)} panels")


def _metrics(folder: Path) -> Iterator[Finding]:
    """Finds names that neither this version's metrics nor its files have."""
    known = {metric.name for metric in ALL} | {f"{metric.name}_bucket" for metric in ALL}
    known |= {name for path in shipped().values() for name in _names(path)}
    for pattern in ("prometheus/rules.yml", "grafana/dashboards/*.json", "prometheus-operator/prometheusrule.yml"):
        for path in sorted(folder.glob(pattern)):
            unknown = sorted(_names(path) - known)
            if unknown:
                name = path.relative_to(folder).as_posix()
                yield Finding(name, f"asks for what this version of sedna-metrics does not emit: {', '.join(unknown)}")


def _names(path: Path) -> Set[str]:
    return set(_NAME.findall(path.read_text(encoding="utf-8", errors="replace")))


def _prometheus(folder: Path) -> Iterator[Finding]:
    promtool = shutil.which("promtool")
    if promtool is None:
        yield Finding("promtool", note="not on PATH: rules and scrape configuration were not checked")
        return
    for name, command in (("rules.yml", "rules"), ("standalone.yml", "config"), ("edge-agent.yml", "config")):
        path = folder / "prometheus" / name
        if path.exists():
            agent = ["--agent"] if name == "edge-agent.yml" else []
            command_line = [promtool, "check", command, *agent, str(path)]
            done = subprocess.run(
                command_line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
            )
            said = done.stdout.strip().splitlines()
            yield Finding(f"promtool check {command} {name}", said[-1].strip() if done.returncode else "")
