"""What several test modules use: samples of a worker, real servers, and waiting for a condition."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import pytest
import requests
import servers
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from sedna_metrics import Worker

AT_LENGTH = os.environ.get("AT_LENGTH") == "1"
"""Whether scenarios run as long as in ``make trust``; otherwise they are shortened."""
SHARED = ("task", "worker")
Labels = Tuple[Tuple[str, str], ...]


class Registry(CollectorRegistry):
    """Keeps what a worker counted after the worker has closed."""

    def unregister(self, collector: Collector) -> None:
        pass


def samples(worker: Worker) -> Dict[Tuple[str, Labels], float]:
    """All samples in the worker's registry, by name and labels, without the labels that each of them has."""
    return {
        (sample.name, tuple(sorted(item for item in sample.labels.items() if item[0] not in SHARED))): sample.value
        for family in worker.registry.collect()
        for sample in family.samples
    }


def exposition(worker: Worker) -> str:
    """What a scrape of the worker reads."""
    assert worker.url
    return requests.get(worker.url, timeout=10).content.decode()


def values(worker: Worker, name: str) -> Dict[Labels, float]:
    """Samples of one name by their labels."""
    return {labels: value for (each, labels), value in samples(worker).items() if each == name}


def value(worker: Worker, name: str, **labels: str) -> float | None:
    """The value of one sample, or ``None``."""
    return samples(worker).get((name, tuple(sorted(labels.items()))))


def everything(worker: Worker) -> None:
    """One worker that does whatever the public API lets it do."""
    ji, il = worker.joint_inference, worker.incremental_learning
    fl, ll = worker.federated_learning, worker.lifelong_learning
    for observation in (ji.edge_inference, ji.cloud_inference, ji.serve, il.inference):
        with observation():
            pass
    ji.hard_sample()
    il.hard_sample()
    ll.unseen_sample()
    ll.known_tasks(3)
    ll.task_samples(100)
    il.iteration(2)
    with il.training(samples=10, epochs=1) as training:
        for _ in training.epochs():
            for _ in training.steps([1]):
                training.loss(0.5)
        training.output_model("/model")
    with il.evaluation(samples=5) as evaluation:
        for _ in evaluation.track([1, 2]):
            pass
        evaluation.new_model("/new", precision=0.9)
        evaluation.old_model("/old", precision=0.8)
    with il.deployment("/new"):
        pass
    with fl.training(samples=3, epochs=2) as training, training.epoch(), fl.waiting():
        training.loss(0.25)
    with fl.aggregation() as aggregation:
        aggregation.update("node", 3)
    fl.train_nodes(["node"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(name: str) -> str:
    """Path of a real server; without one the test is skipped, or fails where CI=true."""
    found = servers.find(name)
    if found is None:
        reason = f"{name} is neither on PATH nor unpacked by tests/servers.py"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Server:
    """A server's process and where it answers; made, it is ready. A context manager closes it."""

    def __init__(self, command: List[str], port: int, log: Path, ready: str = "/-/ready", seconds: float = 30) -> None:
        self.url = f"http://127.0.0.1:{port}"
        with log.open("w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + seconds
        while True:
            try:
                if requests.get(self.url + ready, timeout=2).ok:
                    return
            except requests.ConnectionError:
                pass
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.close()
                raise AssertionError(f"{command[0]} does not get ready: {log.read_text()[-2000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def running_pushgateway(folder: Path) -> Server:
    """A real Pushgateway; its log is in the folder."""
    port = free_port()
    command = [program("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}", "--persistence.file="]
    return Server(command, port, folder / "pushgateway.log")


def eventually(check: Callable[[], object], seconds: float = 20) -> object:
    """What ``check`` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {check}")
        time.sleep(0.1)
