"""Prometheus and Pushgateway with the exported files, for the examples' tasks."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import yaml
from support import Server, eventually, free_port, program, running_pushgateway

from sedna_metrics.exposition.discovery import Target
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.stack import export

pytest.importorskip("sklearn", reason="the examples need scikit-learn")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples" / "demo"))
import run as demo

__all__ = ["Stack", "demo", "query"]


class Stack:
    """Prometheus and Pushgateway with the exported files, as the demo's backend."""

    name = "a real Prometheus with the exported files"
    settle_seconds = 1.0

    def __init__(self, folder, kube_state_metrics_port, remote_write=None):
        self._remote_write = remote_write
        self.targets = folder / "targets"
        self.targets.mkdir(exist_ok=True)
        self.ports = demo.free_ports(4)
        self._session = requests.Session()
        self._targets_kept = []
        with ExitStack() as started:
            gateway = started.enter_context(running_pushgateway(folder))
            prometheus = started.enter_context(self._prometheus(folder, gateway, kube_state_metrics_port))
            self.push_url, self.url = gateway.url, prometheus.url
            self._wait_for_the_service()
            self.close = started.pop_all().close

    def _prometheus(self, folder, gateway, kube_state_metrics_port):
        export(folder / "stack", pushgateway=gateway.url[7:], kube_state_metrics=f"127.0.0.1:{kube_state_metrics_port}")
        config = folder / "stack" / "prometheus" / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._of_this_machine(yaml.safe_load(config.read_text()))))
        port = free_port()
        command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        return Server(command, port, folder / "prometheus.log")

    def _wait_for_the_service(self):
        """Until Prometheus scrapes where its workers will be: it may take 10 s to notice, longer than they live."""
        for name, port in (("edgeworker-demo", self.ports[1]), ("cloudworker-demo", self.ports[2])):
            environ = {"NAMESPACE": "demo", "SERVICE_NAME": "digits-joint-inference", "WORKER_NAME": name}
            identity = WorkerIdentity.from_env(environ, "host")
            labels = {label: getattr(identity, label) for label in ("namespace", "node", "kind", "worker_type")}
            self._targets_kept.append(Target(self.targets, f"127.0.0.1:{port}", labels))
        eventually(lambda: len(self.query('up{job="sedna-edge-workers"}')) == len(self._targets_kept), 60)

    def demo(self, folder, seconds=0):
        """The examples' tasks, which Prometheus will see."""
        return demo.Demo(folder, self, self.ports, seconds)

    def _of_this_machine(self, config):
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        jobs = [job for job in config["scrape_configs"] if "kubernetes_sd_configs" not in job]  # Debian's has none
        assert [job["job_name"] for job in jobs] == ["pushgateway", "kube-state-metrics"]
        # In place of Kubernetes' discovery, the job of standalone.yml finds the workers.
        files = [{"files": [f"{self.targets}/sedna-*.json"], "refresh_interval": "1s"}]
        jobs.append({"job_name": "sedna-edge-workers", "file_sd_configs": files})
        if self._remote_write:
            config["remote_write"] = [{"url": self._remote_write}]
        return {**config, "scrape_configs": jobs}

    def query(self, expression):
        """The result's series: labels and value."""
        return query(self.url, expression, self._session)

    def value(self, series, labels):
        matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
        result = self.query(f"{series}{{{matchers}}}")
        return result[0][1] if result else None


def query(url, expression, session=requests, **more):
    """What Prometheus, or who speaks its language, answers: labels and value of each series."""
    answer = session.get(f"{url}/api/v1/query", params={"query": expression, **more}, timeout=30).json()
    assert answer["status"] == "success", (expression, answer)
    return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]
