"""Checks a folder of exported files: is it complete, valid, and does it match the metrics of this version?"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, List, NamedTuple, Set, Tuple

from sedna_metrics._version import __version__
from sedna_metrics.catalogue import ALL
from sedna_metrics.stack._export import VERSION, digest, manifest, shipped

_NAME = re.compile(r"\bsedna_[a-z_]+[a-z]\b")
_CONTAINER = re.compile(r"image: \S*?([\w-]+):v?(\d+)\S*(?:\n(?!.* image:).*)*?\n +args:((?:\n +- .+)+)")
_PROGRAMS = {  # by image; these parse all their arguments before they print their help
    "prometheus": ("prometheus",),
    "pushgateway": ("pushgateway", "prometheus-pushgateway"),
    "kube-state-metrics": ("kube-state-metrics",),
}


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
    yield from _arguments(folder)


def _whole(folder: Path) -> Iterator[Finding]:
    written = manifest(folder)
    if not written:
        yield Finding("export", f"{folder} was not written by sedna-metrics stack export, or an old one")
    elif written.get(VERSION) != __version__:
        old = written.get(VERSION, "an older version")
        yield Finding("export", f"written by sedna-metrics {old}, and this is {__version__}: export again")
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
            yield _run(f"promtool check {command} {name}", [promtool, "check", command, *agent, str(path)])


def _arguments(folder: Path) -> Iterator[Finding]:
    """Asks each program that is on PATH, in the image's major version, whether it takes its container's arguments."""
    for path in sorted(folder.glob("kubernetes/*.yml")):
        for image, major, block in _CONTAINER.findall(path.read_text(encoding="utf-8", errors="replace")):
            program = next(filter(None, map(shutil.which, _PROGRAMS.get(image, ()))), None)
            if program is None:
                continue
            subject = f"arguments of {image} in kubernetes/{path.name}"
            version = re.search(r"version v?(\d+)", _output([program, "--version"])[0])
            if version and version[1] != major:
                yield Finding(subject, note=f"not checked: the image is version {major}, {program} {version[1]}")
            else:
                arguments = re.findall(r"\n +- [\"']?([^\s\"']+)", block)
                yield _run(subject, [program, *arguments, "--help"])


def _run(subject: str, command: List[str]) -> Finding:
    text, code = _output(command)
    lines = text.strip().splitlines() or [f"exit code {code}"]
    return Finding(
        subject, next((line for line in lines if line.startswith("Error:")), lines[-1]).strip() if code else ""
    )


def _output(command: List[str]) -> Tuple[str, int]:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    return done.stdout, done.returncode
