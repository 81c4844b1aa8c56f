"""Runs the tests on the oldest and the newest Python that this machine has, each in an environment of its own.

Interpreters come from PATH and from pyenv. Long runs with the real servers, the demo and the operator's files are left
to the main run: what they show does not depend on the interpreter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 8), (3, 14)
Version = Tuple[int, int]


def interpreters() -> Dict[Version, str]:
    """Interpreters that start, by version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found: Dict[Version, str] = {}
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        for candidate in [f"python3.{minor}", *sorted(map(str, pyenv.glob(f"3.{minor}.*/bin/python")))]:
            if _version(candidate) == (3, minor):
                found[3, minor] = candidate
                break
    return found


def run(interpreter: str, version: Version) -> int:
    """Run the tests there; gives pytest's exit status."""
    venv = ROOT / ".venv-{}.{}".format(*version)
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([interpreter, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--editable", ".[test]"], cwd=ROOT, check=True)
    elsewhere = ("examples", "real_servers", "edge_agent", "chaos", "stack_*")
    skipped = ["-p", "no:cacheprovider", *(f"--ignore-glob=tests/test_{name}.py" for name in elsewhere)]
    return subprocess.run([str(python), "-m", "pytest", "-q", *skipped], cwd=ROOT).returncode


def _version(interpreter: str) -> Optional[Version]:
    try:
        done = subprocess.run(
            [interpreter, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True
        )
    except OSError:
        return None
    # A pyenv shim of a version that is not selected exists and fails.
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None  # type: ignore[return-value]


def main() -> int:
    """Test on the oldest and the newest, beside the one that runs this."""
    found = interpreters()
    wanted: List[Version] = [version for version in sorted({min(found), max(found)}) if version != sys.version_info[:2]]
    print("Python versions found: " + ", ".join("{}.{}".format(*version) for version in found))
    failed = []
    for version in wanted:
        print(f"--- Python {version[0]}.{version[1]} ({found[version]})", flush=True)
        if run(found[version], version):
            failed.append(version)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
