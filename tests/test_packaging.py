"""The wheel: what is in it, and that it works where only it is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import sedna_metrics
from sedna_metrics.stack._export import FILES

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 400_000
"""It goes into other people's images."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        ".",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if "No module named 'setuptools'" in done.stderr + done.stdout:
        pytest.skip("setuptools is not installed here")
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_what_is_in_it(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"sedna_metrics/py.typed", "sedna_metrics/__main__.py"} <= names
    shipped = {path.relative_to(FILES).as_posix() for path in FILES.rglob("*") if path.is_file()}
    assert {f"sedna_metrics/stack/files/{name}" for name in shipped} <= names
    about = f"sedna_metrics-{sedna_metrics.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"sedna_metrics", about}
    assert not any(name.endswith(".pyc") for name in names)
    assert wheel.stat().st_size < MOST_BYTES


def test_what_it_says_of_itself(wheel):
    files = zipfile.ZipFile(wheel)
    folder = f"sedna_metrics-{sedna_metrics.__version__}.dist-info"
    said = Parser().parsestr(files.read(f"{folder}/METADATA").decode())
    assert said["Version"] == sedna_metrics.__version__
    assert said["Requires-Python"] == ">=3.8"
    needed = {line.split(">")[0].split("=")[0] for line in said.get_all("Requires-Dist") if "extra ==" not in line}
    assert needed == {"prometheus-client", "python-json-logger", "requests"}
    assert "Typing :: Typed" in said.get_all("Classifier")
    entries = files.read(f"{folder}/entry_points.txt").decode()
    assert "sedna-metrics = sedna_metrics.cli:main" in entries


def test_it_works_where_only_it_is(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as files:
        files.extractall(tmp_path / "site")
    script = (
        "import sys, sedna_metrics; from sedna_metrics.cli import main; "
        "assert sedna_metrics.__file__.startswith(sys.argv[1]); "
        "sys.exit(main(['stack', 'export', sys.argv[2]]) or main(['stack', 'check', sys.argv[2]]))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "site"), str(tmp_path / "stack")]
    environ = {"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "stack" / "grafana" / "dashboards" / "overview.json").exists()
