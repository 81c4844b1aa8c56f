"""The demo: four real tasks, what they emit compared with what really happened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import program

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
