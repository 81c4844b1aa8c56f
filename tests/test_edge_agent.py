"""The shipped configuration of an agent on the edge node: a cloud that is away for a while leaves no gap."""

from __future__ import annotations

import subprocess
import threading
import time

import requests
from support import AT_LENGTH, Server, eventually, free_port, program

from sedna_metrics.stack._export import FILES as STACK

CONFIGURATION = STACK / "prometheus" / "edge-agent.yml"
AWAY_SECONDS = 60 if AT_LENGTH else 6


def test_a_cloud_that_is_away_leaves_no_gap(start, tmp_path):
    cloud_port = free_port()
    shipped = CONFIGURATION.read_text()
    configuration = shipped
    for placeholder, ours in {
        "/var/run/sedna-metrics/targets": str(tmp_path / "sd"),
        "http://prometheus.monitoring:9090": f"http://127.0.0.1:{cloud_port}",
        "scrape_interval: 15s": "scrape_interval: 1s",
        "max_backoff: 30s": "max_backoff: 3s",
    }.items():
        assert configuration.count(placeholder) == 1, placeholder
        configuration = configuration.replace(placeholder, ours)
    (tmp_path / "agent.yml").write_text(configuration)
    subprocess.run(
        [program("promtool"), "check", "config", "--agent", str(tmp_path / "agent.yml")],
        check=True,
        capture_output=True,
    )
    (tmp_path / "cloud.yml").write_text("global: {}\n")
    cloud_command = [
        program("prometheus"), f"--config.file={tmp_path / 'cloud.yml'}", f"--storage.tsdb.path={tmp_path / 'cloud'}",
        f"--web.listen-address=127.0.0.1:{cloud_port}", "--web.enable-remote-write-receiver",
    ]  # fmt: skip
    agent_port = free_port()
    version = subprocess.run([program("prometheus"), "--version"], capture_output=True, text=True)
    flag = "--agent" if "version 3." in version.stdout + version.stderr else "--enable-feature=agent"
    agent_command = [
        program("prometheus"), flag, f"--config.file={tmp_path / 'agent.yml'}",
        f"--storage.agent.path={tmp_path / 'agent'}", f"--web.listen-address=127.0.0.1:{agent_port}",
    ]  # fmt: skip
    worker = start({"NODE_NAME": "edge-1"}, export="pull", host="127.0.0.1", port=0, sd_dir=tmp_path / "sd")
    counting, stop = worker.joint_inference.hard_sample, threading.Event()

    def count():
        while not stop.wait(0.01):
            counting()

    thread = threading.Thread(target=count)
    thread.start()
    cloud = Server(cloud_command, cloud_port, tmp_path / "cloud.log")
    agent = Server(agent_command, agent_port, tmp_path / "agent.log")

    def samples():
        answer = requests.get(
            f"http://127.0.0.1:{cloud_port}/api/v1/query",
            params={"query": 'sedna_hard_samples_total{node="edge-1"}[10m]'},
            timeout=5,
        ).json()
        result = answer["data"]["result"]
        return [(at, float(value)) for at, value in result[0]["values"]] if result else []

    try:
        eventually(lambda: len(samples()) > 3, 30)
        cloud.close()
        began = time.time()
        time.sleep(AWAY_SECONDS)
        back = time.time()
        cloud = Server(cloud_command, cloud_port, tmp_path / "cloud-again.log")
        eventually(lambda: samples() and samples()[-1][0] > back + 3, 60)
        seen = samples()
    finally:
        stop.set()
        thread.join()
        agent.close()
        cloud.close()
    gaps = [later - earlier for (earlier, _), (later, _) in zip(seen, seen[1:])]
    assert seen[0][0] < began
    assert seen[-1][0] > back
    assert max(gaps) < 1.9, "one sample a second, while the cloud was away too"
    values = [value for _, value in seen]
    assert values == sorted(values)
