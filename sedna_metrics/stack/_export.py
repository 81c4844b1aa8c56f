"""Writes the operator's files into a folder."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Dict, List, Mapping

from sedna_metrics._version import __version__

FILES = Path(__file__).resolve().parent / "files"
MANIFEST = ".sedna-metrics.json"
"""Has the digests of what was written, by which a later export recognises edited files, and the library's version."""

ADDRESSES: Dict[str, str] = {
    "remote_write": "http://prometheus.monitoring:9090/api/v1/write",
    "pushgateway": "pushgateway.monitoring:9091",
    "kube_state_metrics": "kube-state-metrics.monitoring:8080",
    "prometheus": "prometheus.monitoring:9090",
    "loki": "loki.monitoring:3100",
}
"""Addresses of the servers in the files: host:port, also with a path; a URL for remote write."""

#: Finds the URL of remote write before the address of prometheus that it contains.
_DEFAULTS = re.compile("|".join(map(re.escape, ADDRESSES.values())))
_REMOTE_WRITE = re.compile(r"^( *)# (?=remote_?[wW]rite: )", re.MULTILINE)
"""Commented out in the files: Prometheus in the cloud writes to no other receiver unless asked to."""


def shipped() -> Dict[str, Path]:
    """The files that come with this package, by their paths in the folder."""
    return {path.relative_to(FILES).as_posix(): path for path in sorted(FILES.rglob("*")) if path.is_file()}


def _render(addresses: Mapping[str, str]) -> Dict[str, str]:
    """The files' contents by their paths in the folder."""
    prometheus = addresses.get("prometheus", ADDRESSES["prometheus"])
    chosen = {**ADDRESSES, "remote_write": f"http://{prometheus}/api/v1/write", **addresses}
    by_default = {default: chosen[server] for server, default in ADDRESSES.items()}
    texts = {}
    for name, path in shipped().items():
        text = path.read_text(encoding="utf-8")
        if "remote_write" in addresses:
            text = _REMOTE_WRITE.sub(r"\1", text)
        texts[name] = _DEFAULTS.sub(lambda found: by_default[found[0]], text)
    return texts


def export(folder: Path, force: bool = False, **addresses: str) -> List[Path]:
    """Write the files; returns their paths. One that is edited or foreign raises FileExistsError, unless forced.

    ``addresses`` are those that differ from :data:`ADDRESSES`. Edge agents and the Prometheus in the cloud write to
    ``remote_write`` if it is given; otherwise edge agents write to ``prometheus``.
    """
    texts = _render(addresses)
    written = manifest(folder)
    foreign = [str(folder / name) for name in texts if _is_foreign(folder / name, texts[name], written.get(name, ""))]
    if foreign and not force:
        raise FileExistsError(f"not written by this command, or edited since: {', '.join(foreign)}; --force overwrites")
    for name, text in texts.items():
        _write(folder / name, text)
    digests = {name: digest(folder / name) for name in texts}
    _write(folder / MANIFEST, json.dumps({**digests, "version": __version__}, indent=1) + "\n")
    return [folder / name for name in texts]


def _is_foreign(path: Path, text: str, written: str) -> bool:
    return path.is_symlink() or (path.exists() and digest(path) != written and path.read_bytes() != text.encode())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()  # never write through a link
    path.write_bytes(text.encode())


def manifest(folder: Path) -> Dict[str, str]:
    """Digests of what an export wrote into the folder, by path, and its version."""
    try:
        return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # then every file that differs is in the way


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
