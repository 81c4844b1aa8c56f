"""The docs tell the truth: generated pages are current, code blocks run, links lead somewhere."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE))
]


def test_generated_pages_are_current():
    pages = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]
    stale = [name for name, text in pages.items() if (ROOT / "docs" / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run: make reference"


#: What only docs/frameworks.md imports: "make test-frameworks" has it.
FRAMEWORKS = ("keras", "lightgbm", "lightning", "sklearn", "torch", "transformers", "xgboost")


@pytest.mark.parametrize("block", BLOCKS)
def test_a_code_block_runs(block, tmp_path):
    needs = [name for name in FRAMEWORKS if re.search(rf"^(import|from) {name}\b", block, re.MULTILINE)]
    missing = [name for name in needs if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: make test-frameworks")
    environment = {"PATH": "/usr/bin:/bin", "SEDNA_METRICS_PORT": "0", "SEDNA_METRICS_HOST": "127.0.0.1"}
    # What the frameworks warn of, and print as they train, is their own.
    strict = [] if needs else ["-W", "error"]
    command = [sys.executable, *strict, "-c", block]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert needs or done.stderr == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []
