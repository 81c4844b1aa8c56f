"""The demo: four real tasks, what they emit compared with what really happened. And the small examples."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import yaml
from support import program

from sedna_metrics.settings import TABLE

ROOT = Path(__file__).resolve().parent.parent
pytest.importorskip("sklearn", reason="the examples need scikit-learn")


DEMO = [sys.executable, str(ROOT / "examples" / "demo" / "run.py")]
SERVERS = ("prometheus", "prometheus-pushgateway")


def demo_environ(folder, **environ):
    return {**os.environ, "DEMO_OUTPUT": str(folder), "DEMO_SECONDS": "0", "DEMO_SETTLE_SECONDS": "5", **environ}


def run_demo(folder, **environ):
    environ = demo_environ(folder, **environ)
    return subprocess.run(DEMO, env=environ, cwd=folder, capture_output=True, text=True, timeout=150)


@pytest.mark.parametrize("embedded", ["", "1"], ids=["real servers", "embedded"])
def test_the_demo_shows_what_happened(embedded, tmp_path):
    if not embedded:
        for name in SERVERS:
            program(name)
    done = run_demo(tmp_path, DEMO_EMBEDDED=embedded, DEMO_SECONDS="5", DEMO_SETTLE_SECONDS="20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "70 of 70 values are as they should be" in done.stdout
    assert "DIFFERENT" not in done.stdout
    assert ("embedded" if embedded else "a real Prometheus") in done.stdout
    assert all(len(line) < 80 for line in done.stdout.splitlines()), done.stdout
    tasks = re.findall(r"^  (\w+ \w+) +\[#{20}]  (\d+) of \2 [a-z ]+$", done.stdout, re.MULTILINE)
    names = {"joint inference", "incremental learning", "lifelong learning", "federated learning"}
    assert {name for name, _ in tasks} == names
    assert (tmp_path / "values.txt").read_text().count("  same\n") == 70
    if embedded:
        assert not (tmp_path / "index.html").exists()
    else:
        check_page((tmp_path / "index.html").read_text())


def check_page(page):
    """It has a curve for each legend, the counts, and needs nothing from elsewhere."""
    assert "//" not in page.replace("</", "")
    assert not re.search(r"(src|href)=\"(?!#)|@import|url\((?!#)", page)
    assert page.count("<svg") == page.count("<figure>") == 8
    for figure in re.findall("<figure>.*?</figure>", page, re.DOTALL):
        curves = re.findall(r'id="line2d_\d+">\s*<path d="([^"]+)" clip-path', figure)
        assert any(curve.count("L") >= 5 for curve in curves), figure[:80]
    for count, name in (("897", "inferences at the edge"), ("1,200", "unseen samples"), ("5", "rounds")):
        assert f"<div><b>{count}</b>{name}</div>" in page
    for text in ("trainworker-demo3", "seconds since the start", "milliseconds", "70 of 70 values"):
        assert text in page


def test_the_demo_fails_if_workers_push_nothing(tmp_path):
    for name in SERVERS:
        program(name)
    done = run_demo(tmp_path, SEDNA_METRICS_EXPORT="pull", SEDNA_METRICS_PORT="0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "DIFFERENT: train-worker-demo: sedna_iteration is -, and should be 3" in done.stdout
    assert all(len(line) < 80 for line in done.stdout.splitlines()), done.stdout
    assert "8 of 70 values are as they should be" in done.stdout


def test_the_demo_fails_if_a_value_is_another(tmp_path, mocker, capsys):
    stack = pytest.importorskip("stack")
    demo = stack.demo
    mocker.patch.object(demo, "OUTPUT", tmp_path)
    row = {"proposal": "TrainLoss", "series": "sedna_training_loss", "labels": {}, "value": 0.25}
    tasks = mocker.Mock(folder=tmp_path, processes={"w": ("digits", None)})
    tasks.truth.return_value = {"w": [row, {**row, "value": 0.5}]}
    tasks.backend.value.return_value = 0.25
    assert demo.compare(tasks)[0] == 1
    shown = capsys.readouterr().out
    assert "DIFFERENT: w: sedna_training_loss is 0.25, and should be 0.5" in shown
    assert "1 of 2 values are as they should be" in shown


def test_what_is_kept_answers_until_the_demo_is_interrupted(tmp_path):
    for name in SERVERS:
        program(name)
    with subprocess.Popen(
        DEMO, env=demo_environ(tmp_path, DEMO_KEEP="1"), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            urls = []
            for line in running.stdout:
                urls += re.findall(r"http:\S+", line)
                if len(urls) == 4:
                    break
            prometheus, gateway, edge, cloud = urls
            query = {"query": 'sedna_inferences_total{location="edge",task="digits-joint-inference"}'}
            found = requests.get(f"{prometheus}/api/v1/query", params=query, timeout=5).json()["data"]["result"]
            assert [each["value"][1] for each in found] == ["897"]
            assert "sedna_aggregation_round" in requests.get(f"{gateway}/metrics", timeout=5).text
            assert "sedna_inferences_total" in requests.get(edge, timeout=5).text
            assert "sedna_served_inferences_total" in requests.get(cloud, timeout=5).text
            running.send_signal(signal.SIGINT)
            assert running.wait(20) == 0
        finally:
            running.kill()
    for url in urls:
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)


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
