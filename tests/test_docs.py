"""The docs tell the truth: generated pages are current, code blocks run, links lead somewhere."""

from __future__ import annotations

import inspect
import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import oldwheel
import pytest
import requests
import yaml
from support import program

from sedna_metrics.catalogue import ALL, log
from sedna_metrics.cli import _doctor, main
from sedna_metrics.cli._workers import COLUMNS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def blocks(language):
    """Blocks of all pages, as parameters."""
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, block in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
        )
    ]


def test_generated_pages_are_current():
    pages = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]
    stale = [name for name, text in pages.items() if (ROOT / "docs" / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run: make reference"


#: What only docs/frameworks.md imports: "make test-frameworks" has it. Plato is nowhere.
FRAMEWORKS = ("keras", "lightgbm", "lightning", "plato", "sklearn", "torch", "transformers", "xgboost")


@pytest.mark.parametrize("block", blocks("python"))
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


#: In the place of programs that are not here, or that would run what the tests run anyway: they look at what they are
#: handed. What the real ones make of the files is in test_stack_manifests, test_packaging and versions.
STANDINS = {
    "kubectl": """
        import sys, yaml
        from pathlib import Path

        def applied(folder):
            for each in yaml.safe_load((folder / "kustomization.yml").read_text()).get("resources", ()):
                path = folder / each
                applied(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))

        if "-k" in sys.argv:
            applied(Path(sys.argv[sys.argv.index("-k") + 1]))
        elif "apply" in sys.argv:
            made = yaml.safe_load_all(open(sys.argv[sys.argv.index("-f") + 1]))
            assert {each["kind"] for each in made} <= {"ConfigMap", "NetworkPolicy"}
        elif not {"create", "port-forward"} & set(sys.argv):
            sys.exit("kubectl: unknown")
    """,
    "helm": """
        import sys, yaml
        assert sys.argv[1:3] == ["upgrade", "--install"]
        assert isinstance(yaml.safe_load(open(sys.argv[sys.argv.index("-f") + 1])), dict)
    """,
    "make": f"""
        import re, sys
        targets = re.findall("(?m)^([a-z-]+):", open({str(ROOT / "Makefile")!r}).read())
        assert set(sys.argv[1:]) <= set(targets), sys.argv
    """,
    "pip": """
        import sys
        own = (["."], [".[cli]"], ["sedna-metrics"])
        assert sys.argv[1:2] == ["install"] and sys.argv[2:] in own
    """,
}


@pytest.mark.parametrize("block", blocks("sh"))
def test_a_shell_block_runs(block, pushgateway, start, tmp_path):
    """Where it would run: beside a worker, a Pushgateway and a script; addresses and folders are those of here."""
    if "examples/" in block:
        pytest.importorskip("sklearn", reason="the examples need scikit-learn")
    listening = {"host": "127.0.0.1", "port": 0, "sd_dir": tmp_path / "targets"}
    worker = start({"NAMESPACE": "n"}, export="both", pushgateway_url=pushgateway.url, **listening)
    assert worker.flush()
    here = {
        "edge-7:9470": worker.url.split("/")[2],
        "127.0.0.1:9470": worker.url.split("/")[2],
        "pushgateway.monitoring:9091": pushgateway.url[7:],
        "/var/run/sedna-metrics/targets": str(tmp_path / "targets"),
    }
    for there, address in here.items():
        block = block.replace(there, address)
    (tmp_path / "bin").mkdir()
    for name, program_ in STANDINS.items():
        (tmp_path / "bin" / name).write_text(f"#!{sys.executable}\n{textwrap.dedent(program_)}")
        (tmp_path / "bin" / name).chmod(0o755)
    if "--wheels dist" in block:
        if os.environ.get("TESTED") == "wheel":
            pytest.skip("the main run builds the bundle")
        oldwheel.build(tmp_path / "dist")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "package").mkdir()
    for script in ("train.py", "edge.py", "package/train.py"):
        (tmp_path / script).write_text(
            "import sedna_metrics\nwith sedna_metrics.start() as worker:\n    worker.success()\n"
        )
    assert main(["stack", "export", str(tmp_path / "monitoring")]) == 0
    environment = {
        "PATH": os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "SEDNA_METRICS_SPOOL_DIR": str(tmp_path / "spool"),
        "SEDNA_METRICS_HOST": "127.0.0.1",
        "SEDNA_METRICS_EXPORT": "both",
        "SEDNA_METRICS_PUSHGATEWAY_URL": pushgateway.url,
        "HOME": str(tmp_path),
    }
    command = ["sh", "-e", "-c", block]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", blocks("yaml"))
def test_a_yaml_block_is_what_it_is_for(block, tmp_path):
    document = yaml.safe_load(block)
    if "scrape_configs" in document:
        (tmp_path / "prometheus.yml").write_text(block)
        check = [program("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]
        assert subprocess.run(check, capture_output=True).returncode == 0
        return
    spec = document["spec"]
    pod = spec.get("cloudWorker", spec)["template"]["spec"]
    validate = pytest.importorskip("kubernetes_validate", reason="it needs Python 3.9")
    validate.validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "w"}, "spec": pod}, "1.29", strict=True)


@pytest.mark.parametrize("block", blocks("json"))
def test_a_json_block_is_a_line_of_log(block):
    line = json.loads(block)
    (event,) = (each for each in log.EVENTS if each.name == line["event"])
    assert set(line) <= {*log.FIELDS, *event.fields}
    assert set(line) >= {*log.ALWAYS, *log.IDENTITY}


def test_the_commands_samples_are_of_this_version(capsys, monkeypatch):
    """They were copied from a terminal; what would have changed since is looked for."""
    samples = "".join(each.values[0] for each in blocks("text"))
    top = next(line for line in samples.splitlines() if line.startswith("TASK"))
    assert set(top.split()) <= set(COLUMNS)
    topics = re.findall(r"^(?:ok|!!)  (\w+)  ", samples, re.MULTILINE)
    assert topics[0] == "version"
    assert set(topics) == set(re.findall(r'Finding\(\s*"(\w+)"', inspect.getsource(_doctor)))
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["catalogue"]) == 0
    shown = samples[samples.index("$ sedna-metrics catalogue") :].splitlines()[1:]
    assert capsys.readouterr().out.splitlines()[: len(shown)] == shown


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


def test_the_test_suite_of_the_docs_passes(tmp_path):
    page = (ROOT / "docs" / "testing.md").read_text()
    for name, text in re.findall(r'^```python title="(.*?)"\n(.*?)^```$', page, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
