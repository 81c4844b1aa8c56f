"""Workers on one host's network: a port and a file_sd entry each, which a real Prometheus scrapes."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest
import requests
from support import eventually, value

from sedna_metrics.cli import main
from sedna_metrics.exposition.discovery import Target, sweep

WORKER = """
import sys, sedna_metrics
worker = sedna_metrics.start()
worker.incremental_learning.hard_sample(int(sys.argv[1]))
print(worker.url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def workers(tmp_path):
    processes = []

    def start_(count, **environment):
        for number in range(count):
            env = {
                "PATH": os.environ["PATH"], "JOB_NAME": f"task-{number}", "WORKER_NAME": f"inferworker-{number}",
                "NODE_NAME": "edge-1", "NAMESPACE": "ns", "SEDNA_METRICS_SD_DIR": str(tmp_path / "sd"),
                "SEDNA_METRICS_LOG": "off", "SEDNA_METRICS_PORT": "29470-29499", **environment,
            }  # fmt: skip
            command = [sys.executable, "-c", WORKER, str(number)]
            processes.append(subprocess.Popen(command, env=env, stdin=-1, stdout=-1, text=True))
        return processes

    yield start_
    for process in processes:
        process.kill()
        process.communicate()


def entries(folder):
    return [json.loads(path.read_text())[0] for path in folder.glob("sedna-*.json")]


def test_twenty_workers_at_once_are_all_found_and_dead_ones_forgotten(tmp_path, workers, prometheus):
    processes = workers(20)
    urls = [process.stdout.readline().strip() for process in processes]
    assert len(set(urls)) == 20
    folder = tmp_path / "sd"
    assert len(entries(folder)) == 20
    server = prometheus(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs:\n  - job_name: workers\n    file_sd_configs: [{{files: ['{folder}/sedna-*.json']}}]\n"
    )

    def query(expression):
        answer = requests.get(f"{server.url}/api/v1/query", params={"query": expression}, timeout=5).json()
        return [float(result["value"][1]) for result in answer["data"]["result"]]

    labels = '{namespace="ns",node="edge-1",kind="incrementallearningjob",worker_type="inference"}'
    eventually(lambda: query(f"count(sedna_hard_samples_total{labels})") == [20], 30)
    assert query(f"sum(sedna_hard_samples_total{labels})") == [sum(range(20))]
    assert query("sum(up)") == [20]

    for process in processes[:7]:
        process.kill()
        process.wait()
    for process in processes[7:9]:
        process.communicate()
        assert process.returncode == 0
    assert len(entries(folder)) == 18, "who ends in order withdraws its entry; the killed ones' are still there"
    assert main(["flush", "--sd-dir", str(folder)]) == 0
    assert len(entries(folder)) == 11
    processes[9].kill()
    processes[9].wait()
    workers(1)[-1].stdout.readline()
    assert len(entries(folder)) == 11, "the next start sweeps too"
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in folder.glob("sedna-*.json"))


@pytest.mark.parametrize(
    ("environment", "target"),
    [
        ({}, "127.0.0.1:"),
        ({"POD_IP": "10.1.2.3"}, "10.1.2.3:"),
        ({"SEDNA_METRICS_SD_ADDRESS": "fd00::7"}, "[fd00::7]:"),
        ({"SEDNA_METRICS_HOST": "::1"}, "[::1]:"),
    ],
)
def test_the_address_is_the_one_that_an_agent_reaches(start, tmp_path, environment, target):
    environ = {"NODE_NAME": "edge", **environment}
    worker = start(environ, export="pull", port=0, sd_dir=tmp_path)
    (entry,) = entries(tmp_path)
    assert entry["targets"][0].startswith(target)
    assert entry["labels"]["__scheme__"] == "http"
    assert entry["labels"]["kind"] == "unknown"
    worker.joint_inference  # noqa: B018 - now the class in use tells
    assert entries(tmp_path)[0]["labels"]["kind"] == "jointinferenceservice"
    worker.close()
    assert list(tmp_path.iterdir()) == []


def test_the_task_counts_though_the_folder_has_gone(start, tmp_path, caplog):
    worker = start(export="pull", host="127.0.0.1", port=0, sd_dir=tmp_path / "targets")
    shutil.rmtree(tmp_path / "targets")
    worker.joint_inference.hard_sample()  # the kind is known from now on, and so the file changes
    assert value(worker, "sedna_hard_samples_total") == 1
    assert "sd_dir has old labels" in caplog.text


def test_a_folder_that_cannot_be_written_is_said_and_harms_nothing(start, caplog):
    worker = start(export="pull", host="127.0.0.1", port=0, sd_dir="/proc/sd")
    assert requests.get(worker.url, timeout=5).ok
    assert "/proc/sd" in caplog.text


def test_the_file_can_be_read_by_the_agents_user_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        target = Target(tmp_path, "127.0.0.1:1", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.path.stat().st_mode) == 0o644
    target.close()


def test_a_sweep_leaves_the_files_of_others_alone(tmp_path):
    (tmp_path / "sedna-mine.json").write_text("[]")
    (tmp_path / "node.json").write_text("[]")
    (tmp_path / ("sedna-" + "0" * 16 + ".json")).symlink_to(tmp_path / "node.json")
    live = Target(tmp_path, "127.0.0.1:1", {})
    assert sweep(tmp_path) <= 1  # the link may go, what it points to stays
    assert (tmp_path / "sedna-mine.json").exists()
    assert (tmp_path / "node.json").exists()
    assert live.path.exists()
    live.close()


def test_a_worker_that_has_closed_does_not_come_back_with_its_next_label(start, tmp_path):
    worker = start(export="pull", host="127.0.0.1", port=0, sd_dir=tmp_path / "targets")
    assert len(entries(tmp_path / "targets")) == 1
    worker.close()
    worker.update_identity("jointinferenceservice", "edge")
    assert entries(tmp_path / "targets") == []
