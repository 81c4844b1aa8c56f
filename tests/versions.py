"""Tests the built wheel on the oldest and the newest Python that this machine has, each in an environment of its own.

Interpreters come from PATH and from pyenv. Long runs with the real servers, the demo and the operator's files are left
to the main run: what they show does not depend on the interpreter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 8), (3, 14)
LOWEST = ("prometheus-client==0.17.0", "python-json-logger==2.0.0", "requests==2.25.0")
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


def build() -> Path:
    """The wheel, which is what is tested."""
    folder = ROOT / ".cache" / "wheel"
    for left in (folder, ROOT / "build" / "lib"):  # what an earlier build left would be in this one
        shutil.rmtree(left, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(interpreter: str, version: Version, wheel: Path, constraints: Sequence[str] = ()) -> int:
    """Run the tests there; gives pytest's exit status."""
    venv = ROOT / ".venv-{}.{}".format(*version)
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([interpreter, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, f"{wheel}[test]", *constraints], check=True)
    subprocess.run([*install, "--force-reinstall", "--no-deps", str(wheel)], check=True)  # the version is the same
    # Not "python -m pytest", which puts the checkout first.
    elsewhere = ("examples", "real_servers", "edge_agent", "chaos", "packaging", "stack_*")
    skipped = ["-n", "2", "-p", "no:cacheprovider", *(f"--ignore-glob=tests/test_{name}.py" for name in elsewhere)]
    environ = {**os.environ, "TESTED": "wheel"}
    return subprocess.run([str(venv / "bin" / "pytest"), "-q", *skipped], cwd=ROOT, env=environ).returncode


def _version(interpreter: str) -> Optional[Version]:
    try:
        done = subprocess.run(
            [interpreter, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True
        )
    except OSError:
        return None
    # A pyenv shim of a version that is not selected exists and fails.
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None  # type: ignore[return-value]


def main(arguments: List[str]) -> int:
    """Test on the oldest and the newest, beside the one that runs this; on all there are where ``all`` is said."""
    found = interpreters()
    wanted = sorted(found) if arguments == ["all"] else sorted({min(found), max(found)})
    print("Python versions found: " + ", ".join("{}.{}".format(*version) for version in found))
    wheel = build()
    failed = []
    for version in wanted:
        if version == sys.version_info[:2] and arguments != ["all"]:
            continue
        # The oldest Python has the lowest dependencies that are allowed, the others the newest that they can have.
        constraints = LOWEST if version == min(found) else ()
        print(f"--- Python {version[0]}.{version[1]} ({found[version]}) {' '.join(constraints)}", flush=True)
        if run(found[version], version, wheel, constraints):
            failed.append(version)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
