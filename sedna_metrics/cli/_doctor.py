"""``sedna-metrics doctor``: checks the environment that a worker would start in."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple

from sedna_metrics import settings as settings_module
from sedna_metrics._compat import version
from sedna_metrics._exporters import GATEWAY_UNUSED, exports, leaves_gateway_unused
from sedna_metrics._http import Session, printable
from sedna_metrics._urls import strip_secrets
from sedna_metrics._version import __version__
from sedna_metrics.auto import is_kubeedge_sedna
from sedna_metrics.errors import SettingError
from sedna_metrics.exposition.pushgateway import PushError, Pushgateway, group_path
from sedna_metrics.exposition.spool import open_spool, spool_folders
from sedna_metrics.identity import UNKNOWN, WorkerIdentity
from sedna_metrics.settings import Settings

_CLOCK_SECONDS = 5.0
_PACKAGES = ("prometheus-client", "python-json-logger", "requests")
# Runs in a process of its own: Sedna reads the environment and sets up logging as it is imported.
_PROBE = """
import importlib, json, sedna_metrics
from sedna_metrics.auto import hooks
found = {}
with sedna_metrics.start(export="off", log="off") as worker:
    for hook in hooks(worker):
        try:
            is_known = hook.apply(importlib.import_module(hook.module), worker.guard)
            found[hook.name] = "" if is_known else "has another shape"
        except Exception as error:
            found[hook.name] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


class Finding(NamedTuple):
    """The result of one check; a problem if it has a remedy."""

    topic: str
    said: str
    remedy: str = ""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="check a worker's environment: identity, settings, port, Pushgateway, spool, clock, Sedna",
        description="Check the environment of a worker; run it in the worker's container or on its node. It pushes a "
        "test group to the Pushgateway and deletes it again. Exits with 1 if something is wrong.",
    )
    parser.add_argument("--format", choices=["text", "json"], default="text", help="default: text")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; returns 1 if something is wrong."""
    findings = list(examine(os.environ))
    if arguments.format == "json":
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        width = max(len(finding.topic) for finding in findings)
        for finding in findings:
            print(f"{'!!' if finding.remedy else 'ok'}  {finding.topic:{width}}  {printable(finding.said)}")
            if finding.remedy:
                print(f"{'':{width + 4}}  {printable(finding.remedy)}")
    return 1 if any(finding.remedy for finding in findings) else 0


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Do all checks."""
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    yield Finding("version", f"sedna-metrics {__version__}, Python {platform.python_version()}, {packages}")
    identity = WorkerIdentity.from_env(environ)
    yield from _identity(identity, environ)
    for unknown in settings_module.unknown_variables(environ):
        yield Finding("settings", unknown.partition(" ")[0], unknown)
    try:
        settings = settings_module.load(environ)
        pulls, pushes = exports(settings, identity)
    except SettingError as why:
        yield Finding("settings", "invalid: start() would raise SettingError", str(why))
        yield from _sedna()
        return
    set_here = [f"{source}={value}" for _, value, source in settings_module.shown(environ)]
    yield Finding("settings", ", ".join(set_here) or "all defaults")
    said = " and ".join(word for word, is_so in (("scraped", pulls), ("pushed", pushes)) if is_so)
    unused = f"{GATEWAY_UNUSED[0].upper()}{GATEWAY_UNUSED[1:]}." if leaves_gateway_unused(settings, identity) else ""
    yield Finding("export", f"metrics are {said or 'not exported'} (export={settings.export})", unused)
    if pulls:
        yield _port(settings)
        if settings.sd_dir:
            yield _folder("sd_dir", Path(settings.sd_dir), "agents will not find this worker")
    if settings.pushgateway_url:
        yield from _pushgateway(settings)
        yield _spool(settings)
    yield from _sedna()


def _identity(identity: WorkerIdentity, environ: Mapping[str, str]) -> Iterator[Finding]:
    def source(*variables: str, otherwise: str) -> str:
        return next((f"from {name}" for name in variables if environ.get(name)), otherwise)

    task = "the script's name, such as train for train.py: no JOB_NAME or SERVICE_NAME, not in Sedna"
    if environ.get("JOB_NAME") or environ.get("SERVICE_NAME") or identity.kind != UNKNOWN:
        task = f"{identity.task} ({source('JOB_NAME', 'SERVICE_NAME', otherwise='from the pod name')})"
    yield Finding("task", task)
    yield Finding("worker", f"{identity.worker} ({source('WORKER_NAME', otherwise='host name')})")
    yield Finding("namespace", f"{identity.namespace} ({source('NAMESPACE', otherwise='default')})")
    kind = f"{identity.kind}, {identity.worker_type} (from WORKER_NAME or the pod name)"
    yield Finding("kind", "unknown until the script uses one of Sedna's classes" if identity.kind == UNKNOWN else kind)
    node = f"{identity.node} ({source('NODE_NAME', otherwise='host name')})"
    unknown = "unknown; set NODE_NAME by the downward API (spec.nodeName) to see it in the metrics"
    yield Finding("node", unknown if identity.node == UNKNOWN else node)


def _port(settings: Settings) -> Finding:
    for port in range(settings.port.first, settings.port.last + 1):
        try:
            family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind((settings.host, port))
            return Finding("port", f"{port} is free on {settings.host}" if port else "any free port")
        except OSError as why:
            problem = why.strerror
    said = f"no port of {settings.port} is available on {settings.host}: {problem}"
    return Finding("port", said, "Set SEDNA_METRICS_PORT to a wider range, or to 0 with SEDNA_METRICS_SD_DIR.")


def _pushgateway(settings: Settings) -> Iterator[Finding]:
    name = strip_secrets(settings.pushgateway_url)
    group = group_path({"job": "sedna-metrics-doctor", "instance": socket.gethostname()})
    gateway = Pushgateway(settings)
    try:
        began = time.monotonic()
        gateway.push(group, b"sedna_metrics_doctor 1\n")
        gateway.delete(group)
        yield Finding("pushgateway", f"{name} accepted and deleted a test group in {time.monotonic() - began:.2g} s")
    except PushError as why:
        unwilling = "It answers but refuses the push: check the URL and the credentials."
        away = "No answer: can this node reach the address? On edge nodes Service names need EdgeMesh."
        yield Finding("pushgateway", str(why), away if why.status is None else unwilling)
    finally:
        gateway.close()
    yield _clock(gateway.url, settings)


def _clock(url: str, settings: Settings) -> Finding:
    """By the Date header of the gateway's answer, whatever its status."""
    try:
        with Session() as session:
            verify = settings.pushgateway_ca_file or True
            answer = session.get(f"{url}/-/healthy", timeout=settings.push_timeout, verify=verify, stream=True)
        ahead = time.time() - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (OSError, KeyError, TypeError, ValueError):  # a RequestException is an OSError
        return Finding("clock", "not compared: the Pushgateway sent no Date header")
    if abs(ahead) <= _CLOCK_SECONDS:
        return Finding("clock", f"within {_CLOCK_SECONDS:g} s of the Pushgateway's clock")
    said = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the Pushgateway's"
    return Finding("clock", said, "Times in the metrics are off by as much: set up NTP on this node.")


def _spool(settings: Settings) -> Finding:
    folders = spool_folders(settings)
    if not folders:
        return Finding("spool", "off: if the last push fails, its state is lost")
    folder = folders[0]
    if os.path.isdir(folder):
        spool = open_spool(settings)
        if spool is None:
            remedy = "Set SEDNA_METRICS_SPOOL_DIR to a folder of this user with mode 0700."
            return Finding("spool", f"{folder} cannot be used", remedy)
        if len(spool):
            said = f"undelivered pushes in {folder}: {len(spool)}"
            return Finding("spool", said, "Run sedna-metrics flush to deliver them.")
    return _folder("spool", folder, "undelivered pushes are lost when the worker ends")


def _folder(topic: str, folder: Path, otherwise: str) -> Finding:
    """Whether the folder can be written or made; nothing is left behind."""
    try:
        there = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)
        tempfile.TemporaryFile(dir=there).close()
        return Finding(topic, f"{folder} can be {'written' if there == folder else 'made'}")
    except OSError as why:
        return Finding(topic, f"{folder}: {why.strerror}", f"Mount it for writing, or {otherwise}.")


def _sedna() -> Iterator[Finding]:
    spec = importlib.util.find_spec("sedna")
    places: List[str] = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        yield Finding("sedna", "not installed here; sedna-metrics run would observe nothing")
    elif not is_kubeedge_sedna(places[:1]):
        said = f"{places[0]} is not KubeEdge Sedna but another package with that name"
        yield Finding("sedna", said, "Put Sedna's lib/ first on PYTHONPATH.")
    else:
        file = Path(places[0], "VERSION")
        number = file.read_text(encoding="utf-8", errors="replace").strip() if file.exists() else "unknown version"
        yield Finding("sedna", f"{number} in {places[0]}")
        yield from _hooks()


def _hooks() -> Iterator[Finding]:
    # From the root folder: python -c finds modules in the current one first, which may be anybody's.
    options: Any = {"cwd": "/", "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "timeout": 120}
    try:
        done = subprocess.run([sys.executable, "-c", _PROBE], universal_newlines=True, **options)
        found: Dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as why:
        yield Finding("hooks", f"not checked: {type(why).__name__}", "Does python -c 'import sedna.core' work?")
        return
    observed = [name for name, reason in found.items() if not reason]
    yield Finding("hooks", f"{len(observed)} of {len(found)} of Sedna's methods can be observed")
    for reason in sorted(set(found.values()) - {""}):
        names = [name for name in found if found[name] == reason]
        yield Finding("hooks", f"{len(names)} cannot: {reason} ({', '.join(names[:3])}{', ...' if names[3:] else ''})")
