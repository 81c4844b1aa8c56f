"""Checks a folder of exported files: is it complete, valid, and does it match the metrics of this version?

And kubectl's cluster: can the folder be applied there, and will it work?
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterator, NamedTuple, Tuple

from sedna_metrics._version import __version__
from sedna_metrics.catalogue import ALL
from sedna_metrics.stack._export import digest, manifest, shipped

_NAME = re.compile(r"\bsedna_[a-z_]+[a-z]\b")
_CONTAINER = re.compile(r"image: \S*?([\w-]+):v?(\d+)\S*(?:\n(?!.* image:).*)*?\n +args:((?:\n +- .+)+)")
_PROGRAMS = {  # by image; these parse all their arguments before they print their help
    "prometheus": ("prometheus",),
    "pushgateway": ("pushgateway", "prometheus-pushgateway"),
    "kube-state-metrics": ("kube-state-metrics",),
}
_MADE = ("namespaces", "clusterroles", "clusterrolebindings")
_MADE_IN_NAMESPACE = ("serviceaccounts", "configmaps", "services", "deployments", "statefulsets", "daemonsets")
_NO_POLICIES = (
    "no MutatingAdmissionPolicy (Kubernetes 1.34 with its feature gate), so inject/policy.yml does not work: use "
    "sedna-metrics inject or inject/kyverno.yml"
)
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


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
    yield from _arguments(folder)


def _whole(folder: Path) -> Iterator[Finding]:
    written = manifest(folder)
    if not written:
        yield Finding("export", f"{folder} was not written by sedna-metrics stack export, or an old one")
    elif written.get("version") != __version__:
        old = written.get("version", "an older version")
        yield Finding("export", f"written by sedna-metrics {old}, and this is {__version__}: export again")
    for name in shipped():
        if not (folder / name).is_file():
            yield Finding(name, "is missing: export again, or leave it out of what you apply")
        else:
            is_edited = digest(folder / name) != written.get(name)
            yield Finding(name, note="edited since it was exported" if is_edited else "")


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
            done = _run(promtool, "check", command, *agent, str(path))
            yield Finding(f"promtool check {command} {name}", _last(done) if done.returncode else "")


def _arguments(folder: Path) -> Iterator[Finding]:
    """Asks each program that is on PATH, in the image's major version, whether it takes its container's arguments."""
    for name, text in _texts(folder, "kubernetes/*.yml"):
        for image, major, block in _CONTAINER.findall(text):
            program = next(filter(None, map(shutil.which, _PROGRAMS.get(image, ()))), None)
            if program is None:
                continue
            subject = f"arguments of {image} in {name}"
            done = _run(program, "--version")
            version = re.search(r"version v?(\d+)", done.stdout + done.stderr)
            if version and version[1] != major:
                yield Finding(subject, note=f"not checked: the image is version {major}, {program} {version[1]}")
            else:
                done = _run(program, *re.findall(r"\n +- [\"']?([^\s\"']+)", block), "--help")
                yield Finding(subject, _last(done) if done.returncode else "")


def check_cluster() -> Iterator[Finding]:
    """Check the cluster, without changing it."""
    if shutil.which("kubectl") is None:
        yield Finding("cluster", "kubectl is not on PATH")
        return
    done = _kubectl("get", "--raw", "/version")
    if done.returncode:
        yield Finding("cluster", f"kubectl does not reach it: {_last(done)}")
        return
    version = json.loads(done.stdout)["gitVersion"]
    policies = _kubectl("get", "--raw", "/apis/admissionregistration.k8s.io/v1beta1")
    has_policies = "mutatingadmissionpolicies" in policies.stdout
    yield Finding(f"Kubernetes {version}", note="" if has_policies else _NO_POLICIES)
    yield _sedna()
    yield _storage()
    yield _rights()


def _sedna() -> Finding:
    found = _kubectl("api-resources", "--api-group=sedna.io", "--output=name").stdout.split()
    missing = "" if found else "the cluster does not know Sedna's kinds: install Sedna first"
    return Finding("Sedna", missing, f"{len(found)} kinds")


def _storage() -> Finding:
    done = _kubectl("get", "storageclasses", "--output=json")
    if done.returncode:
        return Finding("StorageClass", note=f"not checked: {_last(done)}")
    items = json.loads(done.stdout)["items"]
    if any(each["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true" for each in items):
        return Finding("StorageClass")
    return Finding(
        "StorageClass",
        "there is no default one, so Prometheus and Loki would stay Pending: name one in volumeClaimTemplates, or for "
        'a trial without disks uncomment "components: [trial]" in kustomization.yml',
    )


def _rights() -> Finding:
    refused = [each for each in _MADE if not _may(each)]
    refused += [each for each in _MADE_IN_NAMESPACE if not _may(each, "--namespace=monitoring")]
    said = f"you may not create {', '.join(refused)}: apply it as a cluster administrator" if refused else ""
    return Finding("rights", said)


def _may(kind: str, *more: str) -> bool:
    return _kubectl("auth", "can-i", "create", kind, *more).stdout.strip() == "yes"


def _kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return _run("kubectl", *arguments, "--request-timeout=10s")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines() or ["no answer"]
    return next((line for line in lines if line.startswith("Error:")), lines[-1]).strip()
