"""Prometheus and Pushgateway with the exported files, for the examples' tasks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests
import yaml
from conftest import eventually, free_port, program

from sedna_metrics._exports import _target_labels
from sedna_metrics.exposition.discovery import Target
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.stack import export

pytest.importorskip("sklearn", reason="the examples need scikit-learn")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples" / "demo"))
import run as demo

__all__ = ["Stack", "demo", "query", "target_of_a_worker"]


class Stack:
    """Prometheus and Pushgateway with the exported files, as the demo's backend."""

    name = "a real Prometheus with the exported files"
    settle_seconds = 1.0

    def __init__(self, folder, kube_state_metrics_port, remote_write=None):
        self._remote_write = remote_write
        gateway, prometheus = free_port(), free_port()
        self.push_url, self.url = f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{prometheus}"
        self.targets = folder / "targets"
        export(
            folder / "stack",
            pushgateway=f"127.0.0.1:{gateway}",
            kube_state_metrics=f"127.0.0.1:{kube_state_metrics_port}",
        )
        config = folder / "stack" / "prometheus" / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._of_this_machine(yaml.safe_load(config.read_text()))))
        self._session = requests.Session()
        self._processes = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in (
                [program("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{gateway}"],
                [
                    program("prometheus"),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{prometheus}",
                ],
            )
        ]
        try:
            for url in (self.push_url, self.url):
                eventually(lambda url=url: self._is_ready(url), 30)
        except BaseException:
            self.close()
            raise

    def _of_this_machine(self, config):
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        jobs = [job for job in config["scrape_configs"] if "kubernetes_sd_configs" not in job]  # Debian's has none
        assert [job["job_name"] for job in jobs] == ["sedna-edge-workers", "pushgateway", "kube-state-metrics"]
        jobs[0]["file_sd_configs"] = [{"files": [f"{self.targets}/sedna-*.json"], "refresh_interval": "1s"}]
        if self._remote_write:
            config["remote_write"] = [{"url": self._remote_write}]
        return {**config, "scrape_configs": jobs}

    @staticmethod
    def _is_ready(url):
        try:
            return requests.get(f"{url}/-/ready", timeout=2).ok
        except requests.ConnectionError:
            return False

    def query(self, expression):
        """The result's series: labels and value."""
        return query(self.url, expression, self._session)

    def value(self, series, labels):
        matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
        result = self.query(f"{series}{{{matchers}}}")
        return result[0][1] if result else None

    def close(self):
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(10)


def query(url, expression, session=requests, **more):
    """What Prometheus, or who speaks its language, answers: labels and value of each series."""
    answer = session.get(f"{url}/api/v1/query", params={"query": expression, **more}, timeout=30).json()
    assert answer["status"] == "success", (expression, answer)
    return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]


def target_of_a_worker(folder, name, port):
    """What the service's worker will say itself; Prometheus may take 10 s to notice, by when the example is over."""
    environ = {"NAMESPACE": "demo", "SERVICE_NAME": "digits-joint-inference", "WORKER_NAME": name}
    return Target(folder, f"127.0.0.1:{port}", _target_labels(WorkerIdentity.from_env(environ, "host")))
