"""The demo: four real tasks, what they emit compared with what really happened. And the small examples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import program

from sedna_metrics.settings import TABLE

ROOT = Path(__file__).resolve().parent.parent
pytest.importorskip("sklearn", reason="the examples need scikit-learn")


@pytest.mark.parametrize("embedded", ["", "1"], ids=["real servers", "embedded"])
def test_the_demo_shows_what_happened(embedded):
    if not embedded:
        program("prometheus")
        program("prometheus-pushgateway")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo" / "run.py")],
        env={**os.environ, "DEMO_EMBEDDED": embedded},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "70 of 70 values are as they should be" in done.stdout
    assert "DIFFERENT" not in done.stdout
    assert ("embedded" if embedded else "a real Prometheus") in done.stdout


SMALL = {"worker_script": "worker.py", "decorators": "worker.py", "batch_job": "train.py"}
TRAINED = "sedna_training_step_duration_seconds_count"


def run(folder, **environ):
    environ = {**os.environ, "SEDNA_METRICS_PORT": "0", "SEDNA_METRICS_HOST": "127.0.0.1", **environ}
    command = [sys.executable, str(ROOT / "examples" / folder / SMALL[folder])]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_worker_script_with_the_library():
    *lines, last = run("worker_script").splitlines()
    assert last.startswith("scraped at http://127.0.0.1:")
    assert all(line.startswith('{"timestamp"') for line in lines)


def test_decorated_functions():
    assert re.search(r"^2[5-9]\d of 300 digits are right", run("decorators"), re.MULTILINE)


def test_a_batch_job_pushes(gateway):
    written = run(
        "batch_job", JOB_NAME="digits", WORKER_NAME="trainworker-x", SEDNA_METRICS_PUSHGATEWAY_URL=gateway.url
    )
    assert '"event":"training.completed"' in written
    assert f'{TRAINED}{{task="digits",worker="trainworker-x"}} 50.0' in gateway.requests[-1].text


@pytest.mark.parametrize("folder", SMALL)
def test_the_resource_of_an_example_runs_it(folder):
    resource = yaml.safe_load((ROOT / "examples" / folder / "resource.yaml").read_text())
    assert resource["apiVersion"] == "sedna.io/v1alpha1"
    named = re.findall(r"'args': \['(examples/[^']+)'\]", str(resource["spec"]))
    assert f"examples/{folder}/{SMALL[folder]}" in named
    assert all((ROOT / name).exists() for name in named)
    variables = set(re.findall(r"'name': '(SEDNA_METRICS_\w+)'", str(resource["spec"])))
    assert variables
    assert variables <= {setting.variable for setting in TABLE}
