"""Logs on the operator's side: LogQL by Grafana's own grammar, and a real Promtail and Loki where they are at hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from dashboards import filled, queries
from support import Server, eventually, free_port

from sedna_metrics.stack import export

HERE = Path(__file__).resolve().parent
QUERIES = sorted({query.expr for query in queries("loki")})


@pytest.fixture(scope="module")
def grammar():
    """Gives, for LogQL expressions, the positions of what Grafana's grammar cannot parse."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("the grammar needs node and npm")
    folder = HERE.parent / ".cache" / "logql"
    shutil.copytree(HERE / "logql", folder, dirs_exist_ok=True)
    if not (folder / "node_modules").exists():
        command = ["npm", "ci", "--silent", "--no-audit", "--no-fund"]
        if subprocess.run(command, cwd=folder).returncode and os.environ.get("CI") != "true":
            pytest.skip("npm cannot fetch the grammar")

    def parse(expressions):
        done = subprocess.run(
            ["node", "parse.js"], cwd=folder, input=json.dumps(expressions), capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    return parse


def test_the_dashboards_logql_is_logql(grammar):
    assert len(QUERIES) >= 3
    # Grafana's own variables are known to the grammar; the reader's are filled in.
    expressions = [filled(expr) for expr in QUERIES]
    assert dict(zip(expressions, grammar(expressions))) == {expr: [] for expr in expressions}
    assert all(grammar(['{job="x"} |= "a" | json | x >', "sum by (level) (count_over_time({a=~`b`}))"]))


LOG_LINES = {
    "kube-system_coredns-7c65d_1/coredns": ["somebody else's"],
    "sedna_gm-7c65d-x_2/gm": [
        "I1103 02:00:05.000000       1 main.go:9] began",
        "E1103 02:00:06.000000       1 x.go:9] fell",
    ],
    "sedna_lc-x2_3/lc": ["W1103 02:00:05.000000       1 main.go:9] careful"],
    "default_digits-train-x2x5q_4/train-worker": ["printed by the script"],
    "default_ji-deployment-edge-55d-x_5/little-model": ["printed by the edge"],
}


@pytest.fixture
def loki(tmp_path):
    """A real Loki with the exported configuration, to which a real Promtail brings the node's lines; gives a query."""
    programs = [shutil.which(name) for name in ("loki", "promtail")]
    if None in programs:
        pytest.skip("loki and promtail are not on PATH, and no package registry has them")
    port = free_port()
    export(tmp_path / "stack", loki=f"127.0.0.1:{port}")
    commands = []
    for program, name in zip(programs, ("loki.yml", "promtail.yml")):
        config = tmp_path / "stack" / "loki" / name
        text = config.read_text().replace("http_listen_port: 3100", f"http_listen_port: {port}\n  grpc_listen_port: 0")
        for path in ("/var/lib/loki", "/var/lib/promtail", "/var/log/pods"):
            text = text.replace(path, str(tmp_path) + path)
        config.write_text(text)
        commands.append([program, f"-config.file={config}"])

    def query(expression):
        answer = requests.get(
            f"http://127.0.0.1:{port}/loki/api/v1/query_range",
            params={"query": expression, "since": "1h", "limit": 5000},
            timeout=10,
        )
        assert answer.ok, answer.text
        return answer.json()["data"]["result"]

    with Server(commands[0], port, tmp_path / "loki.log", "/ready", 60), (tmp_path / "promtail.log").open("w") as log:
        promtail = subprocess.Popen(commands[1], stdout=log, stderr=log)
        try:
            yield query
        finally:
            promtail.kill()
            promtail.wait()


def test_lines_arrive_with_labels_and_metadata_and_the_dashboards_find_them(loki, tmp_path):
    environ = {
        **os.environ, "JOB_NAME": "digits", "NAMESPACE": "default", "WORKER_NAME": "train-worker-x",
        "NODE_NAME": "edge", "SEDNA_METRICS_EXPORT": "off",
    }  # fmt: skip
    script = "import sedna_metrics\nwith sedna_metrics.start() as w, w.incremental_learning.training(): pass"
    worker = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    for folder, written in LOG_LINES.items():
        place = tmp_path / "var/log/pods" / folder
        place.mkdir(parents=True)
        text = written + (worker.stdout.splitlines() if "train" in folder else [])
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime())
        (place / "0.log").write_text("".join(f"{stamp} stdout F {line}\n" for line in text))

    eventually(lambda: len(loki('{job="sedna-controller"}')) == 3 and loki('{job="sedna-worker"} | event!=""'), 60)
    streams = [stream["stream"] for stream in loki('{job=~".+"}')]
    assert {stream["job"] for stream in streams} == {"sedna-worker", "sedna-controller"}, "none of somebody else's"
    (completed,) = loki('{job="sedna-worker",task="digits",level="INFO"} | event="training.completed"')
    assert completed["stream"].items() >= {"worker": "train-worker-x", "node": "edge", "namespace": "default"}.items()
    controllers = {(each["stream"]["component"], each["stream"]["level"]) for each in loki('{job="sedna-controller"}')}
    assert controllers == {("gm", "INFO"), ("gm", "ERROR"), ("lc", "WARNING")}
    printed = loki('{job="sedna-worker"} |= "printed"')
    assert {(each["stream"]["task"], each["stream"]["worker_type"]) for each in printed} == {
        ("digits", "train"),
        ("ji", "edge"),
    }
    for expression in QUERIES:
        assert loki(filled(expression)), expression
