"""Interpreters that this machine lacks: 3.7 from Maven Central, 3.14 and 3.15 from Debian's sid, in ``.cache/pythons``.

Each is unpacked into a folder; patchelf makes it use the libraries beside it. The ordinary clients fetch: Maven, apt.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional

import servers

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "pythons"
_ARTIFACT = "org.bytedeco:cpython:3.7.9-1.5.4:jar:linux-x86_64"
_SID = {"3.14": "python3.14", "3.15": "python3.15"}


def find(version: str) -> Optional[str]:
    """The interpreter of this version if it can be had; prints why not otherwise."""
    python = CACHE / version / "bin" / f"python{version}"
    if not python.exists():
        problem = _from_maven(version) if version == "3.7" else _from_sid(version)
        if problem:
            print(f"Python {version}: {problem}")
            return None
    return str(python)


def _from_maven(version: str) -> str:
    if shutil.which("mvn") is None:
        return "there is no Maven to fetch it with"
    folder, jars = CACHE / version, CACHE / "jars"
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
    problem = _run(["mvn", "-q", "-B", goal, f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={jars}"])
    if problem:
        return problem
    (jar,) = jars.glob("cpython-*.jar")
    shutil.unpack_archive(str(jar), str(CACHE / "unpacked"), "zip")
    shutil.move(str(CACHE / "unpacked" / "org" / "bytedeco" / "cpython" / "linux-x86_64"), str(folder))
    for program in (folder / "bin").iterdir():
        program.chmod(0o755)
    return _patch(folder / "bin" / f"python{version}", "$ORIGIN/../lib:$ORIGIN/..")


def _from_sid(version: str) -> str:
    name, root = _SID[version], f"python-{version}"
    packages = [name, f"{name}-minimal", f"lib{name}-stdlib", f"lib{name}-minimal", f"{name}-venv", "libc6"]
    libraries = ["libexpat1", "zlib1g", "libssl3t64", "libffi8", "libsqlite3-0", "libbz2-1.0", "liblzma5", "libzstd1"]
    problem = servers.unpack_sid([*packages, *libraries, "libuuid1", "libmpdec4"], root)
    if problem:
        return problem
    folder = servers.CACHE / root
    loaders = list(folder.glob("usr/lib*/ld-linux-*.so.*")) + list(folder.glob("usr/lib/*/ld-linux-*.so.*"))
    libs = [str(each) for each in folder.glob("usr/lib/*-linux-gnu")]
    problem = _patch(folder / "usr" / "bin" / name, ":".join(libs), str(loaders[0]))
    if not problem:
        (CACHE / version / "bin").mkdir(parents=True, exist_ok=True)
        (CACHE / version / "bin" / f"python{version}").symlink_to(folder / "usr" / "bin" / name)
    return problem


def _patch(python: Path, libraries: str, loader: str = "") -> str:
    tool = CACHE / "tools"
    problem = _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tool), "patchelf"])
    command = [str(tool / "bin" / "patchelf"), "--force-rpath", "--set-rpath", libraries]
    return problem or _run([*command, *(["--set-interpreter", loader] if loader else []), str(python)])


def _run(command: List[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    return f"{command[0]} failed: {done.stdout.strip()[-300:]}" if done.returncode else ""


if __name__ == "__main__":
    found: Dict[str, Optional[str]] = {version: find(version) for version in sys.argv[1:]}
    print(found)
