"""The docs tell the truth: generated pages are current, code blocks run, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import requests
import yaml
from conftest import program

from sedna_metrics.catalogue import ALL
from sedna_metrics.cli import main

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


def test_promql_is_promql(tmp_path):
    """Each block is parsed, and asks for what is emitted."""
    found = [
        (page.name, block)
        for page in PAGES
        for block in re.findall(r"^```promql\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    assert len(found) > 15
    rules = [{"record": f"r:{number}", "expr": block} for number, (_, block) in enumerate(found)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "docs", "rules": rules}]}))
    check = [program("promtool"), "check", "rules", str(tmp_path / "rules.yml")]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    known = {metric.name + suffix for metric in ALL for suffix in ("", "_bucket", "_count", "_sum")}
    asked = {name for _, block in found for name in re.findall(r"\bsedna_\w+", block)}
    assert asked - known == set()


def test_yaml_is_yaml_and_shell_names_commands_that_exist(capsys):
    shell = []
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
            assert isinstance(yaml.safe_load(block), (dict, list)), page
        for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
            shell += re.findall(r"^sedna-metrics (\w+)", block, re.MULTILINE)
            targets = re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)
            assert set(targets) <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)), page
    assert set(shell) >= {"top", "doctor", "run", "flush", "stack"}
    for command in set(shell):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command
    capsys.readouterr()


def test_the_tutorials_job_pushes_as_its_shell_block_says(pushgateway, tmp_path):
    page = (ROOT / "docs" / "tutorial.md").read_text()
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (trains,) = (text for language, text in blocks if language == "python" and "il.training" in text)
    (pushes,) = (text for language, text in blocks if language == "sh" and "flush" in text)
    named = "http://pushgateway.monitoring:9091"
    assert named in pushes
    (tmp_path / "train.py").write_text(trains)
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "SEDNA_METRICS_SPOOL_DIR": str(tmp_path / "spool"),
    }
    command = ["sh", "-e", "-c", pushes.replace(named, pushgateway.url)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sedna_training_epoch{" in requests.get(f"{pushgateway.url}/metrics", timeout=10).text


def test_the_site_builds_without_a_warning(tmp_path):
    """A link that leads nowhere and a page that is in no list are warnings."""
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "tutorial.html").exists()
