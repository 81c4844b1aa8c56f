"""Finds the real servers that the tests and the demo run against: Prometheus, promtool, Pushgateway.

From PATH; else from Debian's (or Ubuntu's) packages, unpacked into ``.cache/servers``, which needs no root and starts
nothing. Run as a script it fetches them and says what it found. What is in no package Go builds, where Go is at hand.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "servers"
PACKAGES = {"prometheus": "prometheus", "promtool": "prometheus", "prometheus-pushgateway": "prometheus-pushgateway"}
GO_PROGRAMS = {  # their versions are in go_programs/go.mod
    "kube-state-metrics": "k8s.io/kube-state-metrics/v2",
    "compose-go": "github.com/compose-spec/compose-go/v2/cmd",
}
_ALIASES = {"prometheus-pushgateway": ("prometheus-pushgateway", "pushgateway")}


def find(name: str) -> Optional[str]:
    """Path of the server's program, or ``None``; fetches nothing."""
    for alias in _ALIASES.get(name, (name,)):
        found = shutil.which(alias)
        if found:
            return found
    unpacked = (CACHE / root / "usr" / "bin" / name for root in ("root", "newer"))
    return next((str(path) for path in unpacked if path.exists()), None)


NEWER = {"victoria-metrics": "victoria-metrics", "vmagent": "victoria-metrics", "prometheus": "prometheus"}
"""Of newer suites of Debian; fetched for ``make scale`` and ``make prometheus3``."""


def fetch_newer() -> str:
    """Fetch the programs of newer suites, from the mirror that this machine's packages come from; gives a problem."""
    if all((CACHE / "newer" / "usr" / "bin" / name).exists() for name in NEWER):
        return ""
    return unpack_sid(sorted(set(NEWER.values())), "newer")


def unpack_sid(packages: List[str], root: str) -> str:
    """Unpack packages of Debian's sid into a folder of the cache; gives a problem."""
    sources = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    found = re.findall(r"(?:^deb |URIs: )(http\S+?debian/?)\s", "\n".join(map(_text, sources)), re.MULTILINE)
    if not found:
        return "this is no Debian"
    own = CACHE / "newer.list"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(f"deb {found[0]} sid main\n")
    return _unpack(packages, root, [f"Dir::Etc::sourcelist={own}", "Dir::Etc::sourceparts=/dev/null"])


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def fetch() -> Dict[str, str]:
    """Fetch what is missing.

    Returns:
        for each program that is still missing the reason.
    """
    missing = sorted({PACKAGES[name] for name in PACKAGES if find(name) is None})
    problem = _unpack(missing, "root") if missing else ""
    return {name: problem or "not in the package" for name in PACKAGES if find(name) is None}


class Build:
    """Go builds a program beside whatever else goes on: that may take minutes, and gets what CPU is left over."""

    def __init__(self, name: str) -> None:
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
        self._found = shutil.which(name)
        self._target = CACHE / "go" / name
        self._problem = "" if go else "there is no Go to build it with"
        self._process: Optional[subprocess.Popen[str]] = None
        if go and not self._found and not self._target.exists():
            self._process = subprocess.Popen(
                ["nice", "-n", "19", go, "build", "-o", str(self._target), GO_PROGRAMS[name]],
                cwd=Path(__file__).with_name("go_programs"),
                stderr=subprocess.PIPE,
                text=True,
            )

    def wait(self) -> str:
        """Path of the program.

        Raises:
            RuntimeError: it is not to be had, with the reason.
        """
        if self._found:
            return self._found
        if self._process:
            _, output = self._process.communicate()
            self._problem = f"Go cannot build it: {output.strip()[-300:]}" if self._process.returncode else ""
            self._process = None
        if self._problem:
            raise RuntimeError(self._problem)
        return str(self._target)

    def stop(self) -> None:
        """Leave it, where nobody waited for it."""
        if self._process:
            self._process.kill()
            self._process.communicate()


def _unpack(packages: List[str], root: str, more: Sequence[str] = ()) -> str:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return "not on PATH, and this is no Debian or Ubuntu whose packages could be unpacked"
    lists, downloads = CACHE / f"{root}-lists", CACHE / f"{root}-downloads"
    for folder in (lists / "partial", downloads):
        folder.mkdir(parents=True, exist_ok=True)
    # A folder of our own for the package lists: no root is needed, and the machine's lists stay as they are.
    settings = [f"Dir::State::lists={lists}", f"Dir::Cache={CACHE}", "APT::Sandbox::User=root", *more]
    options = ["-qq", *(option for setting in settings for option in ("-o", setting))]
    for command in (["apt-get", *options, "update"], ["apt-get", *options, "download", *packages]):
        done = subprocess.run(command, cwd=downloads, capture_output=True, text=True)
        if done.returncode:
            return f"{' '.join(command[:1] + command[-2:])} failed: {done.stderr.strip()[-300:]}"
    for package in downloads.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(CACHE / root)], check=True)
    return ""


def main() -> int:
    """Fetch, and say what there is."""
    if sys.argv[1:] == ["newer"]:
        problem = fetch_newer()
        print(problem or ", ".join(f"{name}: {find(name)}" for name in NEWER))
        return 1 if problem else 0
    reasons = fetch()
    for name in PACKAGES:
        print(f"{name}: {find(name) or 'missing: ' + reasons[name]}")
    return 1 if reasons and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
