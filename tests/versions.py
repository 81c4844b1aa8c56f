"""Tests the built wheels on other Pythons, each in an environment of its own.

``make test``: the oldest that the source is for (3.8) and the newest that this machine has, and a part of the tests on
3.7 with the wheel for old Pythons. ``make versions``: all tests on all of them, 3.14 and 3.15 too.

Interpreters come from PATH, pyenv and pythons.py. Long runs with the real servers, the demo and the operator's files
are left to the main run: what they show does not depend on the interpreter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import parso
import pythons

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / ".cache" / "wheel"
OLDEST, NEWEST = (3, 8), (3, 13)
FETCHED = ((3, 7), (3, 14), (3, 15))
QUICK = ("test_decorators", "test_metrics", "test_tasks", "test_runtime", "test_auto_joint_inference", "test_identity")
"""What runs on 3.7 in ``make test``."""
GUARDED = (
    "typing.Literal",
    "os.register_at_fork",
    "ssl.SSLContext.minimum_version",
    "ssl.TLSVersion",
    "threading.excepthook",
)
"""Newer parts of the standard library that the source asks for before it uses them."""
LOWEST = ("prometheus-client==0.17.0", "python-json-logger==2.0.0", "requests==2.32.4")
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


def build() -> None:
    """Build both wheels, which are what is tested."""
    for left in (WHEELS, ROOT / "build" / "lib"):  # what an earlier build left would be in this one
        shutil.rmtree(left, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(WHEELS), str(ROOT)]
    subprocess.run(command, check=True)
    subprocess.run([sys.executable, str(ROOT / "tools" / "oldwheel.py"), str(WHEELS)], check=True)


def check_old_wheel() -> bool:
    """Whether the old wheel keeps to Python 3.6's grammar, and to its standard library outside ``_compat``."""
    (wheel,) = WHEELS.glob("*-py36.py37-*.whl")
    folder = WHEELS / "old"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    grammar = parso.load_grammar(version="3.6")
    problems = [
        f"{path}:{error.start_pos[0]}: {error.message}"
        for path in folder.rglob("*.py")
        for error in grammar.iter_errors(grammar.parse(path.read_text(encoding="utf-8")))
    ]
    print("\n".join(["grammar of Python 3.6:", *(problems or ["every file keeps to it"])]))
    (folder / "sedna_metrics" / "_compat.py").unlink()
    allowed = [option for name in GUARDED for option in ("--exclude", name)]
    command = [str(Path(sys.executable).with_name("vermin")), "-t=3.6-", "--no-tips"]
    return subprocess.run([*command, *allowed, "--violations", str(folder)]).returncode == 0 and not problems


def run(interpreter: str, version: Version, constraints: Sequence[str] = (), files: Sequence[str] = ()) -> int:
    """Run the tests there; gives pytest's exit status."""
    venv = ROOT / ".venv-{}.{}".format(*version)
    python = venv / "bin" / "python"
    # The pip of this environment, where it still knows the other Python.
    pip = [str(python), "-m", "pip"] if version < (3, 9) else [sys.executable, "-m", "pip", "--python", str(python)]
    if not python.exists():
        without = [] if version < (3, 9) else ["--without-pip"]
        subprocess.run([interpreter, "-m", "venv", *without, str(venv)], check=True)
        if not without:
            subprocess.run([*pip, "install", "--quiet", "--upgrade", "pip"], check=True)
    install = [*pip, "install", "--quiet", "--find-links", str(WHEELS)]
    again = ["--force-reinstall", "--no-deps", "--no-index"]  # an earlier build has the same version
    subprocess.run([*install, *again, "sedna-metrics"], check=True)
    subprocess.run([*install, "sedna-metrics[test]", *constraints], check=True)
    # Not "python -m pytest", which puts the checkout first.
    elsewhere = ("examples", "real_servers", "edge_agent", "chaos", "packaging", "inject", "cluster", "stack_*")
    skipped = [
        "-n",
        "2",
        "--dist",
        "loadgroup",
        "-p",
        "no:cacheprovider",
        *(f"--ignore-glob=tests/test_{name}.py" for name in elsewhere),
    ]
    environ = {**os.environ, "TESTED": "wheel"}
    command = [str(venv / "bin" / "pytest"), "-q", *skipped, *(f"tests/{name}.py" for name in files)]
    return subprocess.run(command, cwd=ROOT, env=environ).returncode


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
    """Test; with ``all``, everything on every Python that can be had."""
    is_all = arguments == ["all"]
    found = interpreters()
    oldest, newest = min(found), max(found)
    for version in FETCHED if is_all else FETCHED[:1]:
        path = pythons.find("{}.{}".format(*version))
        if path:
            found[version] = path
    print("Python versions found: " + ", ".join("{}.{}".format(*version) for version in sorted(found)))
    build()
    failed = [] if check_old_wheel() else ["grammar"]
    for version in sorted(found):
        is_quick = version == (3, 7) and not is_all
        if not is_all and (version not in ((3, 7), oldest, newest) or version == sys.version_info[:2]):
            continue
        # The oldest Python has the lowest dependencies that are allowed, the others the newest that they can have.
        constraints = LOWEST if version == oldest else ()
        print(f"--- Python {version[0]}.{version[1]} ({found[version]}) {' '.join(constraints)}", flush=True)
        if run(found[version], version, constraints, QUICK if is_quick else ()):
            failed.append("{}.{}".format(*version))
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
