"""Finds the real servers that the tests and the demo run against: Prometheus, promtool, Pushgateway.

From PATH; else from Debian's (or Ubuntu's) packages, unpacked into ``.cache/servers``, which needs no root and starts
nothing. Run as a script it fetches them and says what it found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "servers"
PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-pushgateway": "prometheus-pushgateway",
}
_ALIASES = {"prometheus-pushgateway": ("prometheus-pushgateway", "pushgateway")}


def find(name: str) -> Optional[str]:
    """Path of the server's program, or ``None``; fetches nothing."""
    for alias in _ALIASES.get(name, (name,)):
        found = shutil.which(alias)
        if found:
            return found
    unpacked = CACHE / "root" / "usr" / "bin" / name
    return str(unpacked) if unpacked.exists() else None


def fetch() -> Dict[str, str]:
    """Fetch what is missing.

    Returns:
        for each program that is still missing the reason.
    """
    missing = sorted({PACKAGES[name] for name in PACKAGES if find(name) is None})
    problem = _unpack(missing) if missing else ""
    return {name: problem or "not in the package" for name in PACKAGES if find(name) is None}


def _unpack(packages: List[str]) -> str:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return "not on PATH, and this is no Debian or Ubuntu whose packages could be unpacked"
    lists, downloads = CACHE / "lists", CACHE / "downloads"
    for folder in (lists / "partial", downloads):
        folder.mkdir(parents=True, exist_ok=True)
    # A folder of our own for the package lists: no root is needed, and the machine's lists stay as they are.
    options = ["-qq", "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={CACHE}", "-o", "APT::Sandbox::User=root"]
    for command in (["apt-get", *options, "update"], ["apt-get", *options, "download", *packages]):
        done = subprocess.run(command, cwd=downloads, capture_output=True, text=True)
        if done.returncode:
            return f"{' '.join(command[:1] + command[-2:])} failed: {done.stderr.strip()[-300:]}"
    for package in downloads.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(CACHE / "root")], check=True)
    return ""


def main() -> int:
    """Fetch, and say what there is."""
    reasons = fetch()
    for name in PACKAGES:
        print(f"{name}: {find(name) or 'missing: ' + reasons[name]}")
    return 1 if reasons and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
