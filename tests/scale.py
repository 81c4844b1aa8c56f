"""VictoriaMetrics in Prometheus' place, vmagent in the edge agent's: by hand (``make scale``), since few have them.

The receiver takes what Prometheus saw, by remote write, and answers the same queries.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import subprocess
import time

import pytest
import servers
import yaml
from dashboards import filled, queries
from stack import Stack, demo, query
from stackgen.rules import RECORDINGS
from support import Server, eventually, free_port

import sedna_metrics
from sedna_metrics.stack import export

AWAY_SECONDS = 60
# VictoriaMetrics counts what a counter begins with as growth, and does not extrapolate to the edges of a range: of what
# lives for seconds only, as the examples do, Prometheus' rates are others. Of a worker that lives on they are compared.
RATES = re.compile(r"\b(rate|increase)\(")
STEADY_SECONDS = 120
RATE_TOLERANCE = 0.02


def needed(name):
    found = servers.find(name)
    if found is None:
        pytest.skip(f"{name} is not at hand: make scale fetches it where there is Debian")
    return found


class Receiver:
    """A VictoriaMetrics that can be taken away and brought back."""

    def __init__(self, folder):
        self._folder, self._port = folder, free_port()
        self._program = needed("victoria-metrics")
        self.start()
        self.url = self._server.url

    def start(self):
        command = [
            self._program,
            f"-storageDataPath={self._folder / 'victoria-metrics'}",
            f"-httpListenAddr=127.0.0.1:{self._port}",
            "-search.latencyOffset=0s",
            "-search.disableCache",
        ]
        self._server = Server(command, self._port, self._folder / "victoria-metrics.log", ready="/health")

    def stop(self):
        self._server.close()


@pytest.fixture
def receiver(tmp_path):
    receiver = Receiver(tmp_path)
    yield receiver
    receiver.stop()


def by_labels(result):
    """Values by labels, without NaN: a quantile of nothing is NaN to the one, and not there to the other."""
    return {
        tuple(sorted((name, text) for name, text in labels.items() if name != "__name__")): value
        for labels, value in result
        if not math.isnan(value)
    }


def expressions(**chosen):
    """What the dashboards and rules ask of the workers."""
    asked = {filled(each.expr, **chosen) for each in queries("prometheus")} | {rule.expr for rule in RECORDINGS}
    # Without what is about the scrape itself, or the clock.
    return sorted(each for each in asked if not re.search(r"\bup\{|scrape_|time\(\)", each))


def test_the_same_queries_give_the_same_answers(receiver, tmp_path, monkeypatch, capsys):
    stack = Stack(tmp_path, free_port(), remote_write=f"{receiver.url}/api/v1/write")
    monkeypatch.setenv("SEDNA_METRICS_SD_DIR", str(stack.targets))
    tasks = stack.demo(tmp_path)
    try:
        demo.watch(tasks)
        demo.settle(tasks)
        time.sleep(10)  # what was written has arrived
        at = time.time() - 5
        equal = similar = 0
        for expression in expressions():
            ours = by_labels(query(stack.url, expression, time=at))
            theirs = by_labels(query(receiver.url, expression, time=at))
            assert theirs.keys() == ours.keys(), expression
            if RATES.search(expression):
                similar += len(ours)
                continue
            equal += len(ours)
            for labels, value in ours.items():
                assert math.isclose(theirs[labels], value, rel_tol=1e-9, abs_tol=1e-9), (expression, labels)
        for name in ("sedna_inferences_total", "sedna_training_loss", "sedna_metrics_push_attempts_total"):
            ours, theirs = (
                by_labels(query(url, f"count_over_time({name}[1m])", time=at)) for url in (stack.url, receiver.url)
            )
            assert ours == theirs, "each sample has arrived, and once"
        with capsys.disabled():
            print(
                f"\n{len(expressions())} queries: {equal} values are the same, {similar} rates are of the same series"
            )
        assert equal > 100
        assert similar > 100
    finally:
        tasks.stop()
        stack.close()


def do_everything(worker, until):
    """All that has a rate, at an even pace, in one process."""
    ji, ll, fl = worker.joint_inference, worker.lifelong_learning, worker.federated_learning
    with fl.training() as training:
        for turn in itertools.count():
            if time.time() > until:
                break
            with ji.edge_inference():
                time.sleep(0.004 * (turn % 5))
            ji.hard_sample(turn % 4 == 0)
            if turn % 4 == 0:
                with ji.cloud_inference():
                    time.sleep(0.03)
            if turn % 5 == 0:
                with contextlib.suppress(ValueError), ji.edge_inference():
                    raise ValueError
                with contextlib.suppress(ValueError), ji.serve():
                    raise ValueError
            with ji.serve():
                time.sleep(0.002)
            ll.unseen_sample(turn % 3 == 0)
            training.step_took(0.01 * (1 + turn % 3))
            training.loss(float("nan") if turn % 10 == 0 else 1 / (turn + 1))
            if turn % 10 == 0:
                with fl.aggregation() as aggregation:
                    aggregation.update("edge-1")
                    time.sleep(0.01)


def test_rates_of_a_worker_that_lives_on_are_the_same(receiver, tmp_path, capsys):
    stack = Stack(tmp_path, free_port(), remote_write=f"{receiver.url}/api/v1/write")
    settings = {"sd_dir": stack.targets, "host": "127.0.0.1", "port": 0, "log": "off"}
    try:
        with sedna_metrics.start(environ={"JOB_NAME": "steady", "WORKER_NAME": "w"}, **settings) as worker:
            do_everything(worker, time.time() + STEADY_SECONDS)
            at = time.time() - 10

        def samples(url):
            return by_labels(query(url, 'count_over_time(sedna_inferences_total{task="steady"}[1m])', time=at))

        eventually(lambda: samples(receiver.url) == samples(stack.url), 30)
        differences = {}
        for expression in expressions(task="steady", __range="1m"):
            if not RATES.search(expression):
                continue
            expression = expression.replace("[5m]", "[1m]")  # the rules', of which the examples' time allows no more
            ours = by_labels(query(stack.url, expression, time=at))
            theirs = by_labels(query(receiver.url, expression, time=at))
            assert theirs.keys() == ours.keys(), expression
            for labels, value in ours.items():
                if value or theirs[labels]:
                    differences[expression, labels] = abs(theirs[labels] - value) / max(value, theirs[labels])
        worst = max(differences, key=differences.__getitem__)
        with capsys.disabled():
            print(f"\n{len(differences)} rates and quantiles that are not 0: at most {differences[worst]:.1%} apart")
        assert differences[worst] <= RATE_TOLERANCE, worst
        assert len(differences) > 60
    finally:
        stack.close()


def test_a_receiver_that_was_away_has_no_gap(receiver, tmp_path, capsys):
    (tmp_path / "targets").mkdir()
    export(tmp_path / "stack", remote_write=f"{receiver.url}/api/v1/write")
    config = tmp_path / "stack" / "prometheus" / "edge-vmagent.yml"
    assert f"-remoteWrite.url={receiver.url}/api/v1/write" in config.read_text()
    document = yaml.safe_load(config.read_text())
    document["global"]["scrape_interval"] = "1s"
    document["scrape_configs"][0]["file_sd_configs"][0]["files"] = [f"{tmp_path}/targets/sedna-*.json"]
    config.write_text(yaml.safe_dump(document))
    environ = {
        "JOB_NAME": "digits",
        "WORKER_NAME": "inferworker-x",
        "SEDNA_METRICS_SD_DIR": str(tmp_path / "targets"),
        "SEDNA_METRICS_HOST": "127.0.0.1",
        "SEDNA_METRICS_PORT": "0",
        "SEDNA_METRICS_LOG": "off",
    }
    with sedna_metrics.start(environ=environ) as worker, worker.incremental_learning.inference():
        agent = subprocess.Popen(
            [
                needed("vmagent"),
                f"-promscrape.config={config}",
                "-promscrape.fileSDCheckInterval=1s",
                f"-remoteWrite.url={receiver.url}/api/v1/write",
                f"-remoteWrite.tmpDataPath={tmp_path / 'vmagent'}",
                f"-httpListenAddr=127.0.0.1:{free_port()}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            count = 'count_over_time(sedna_inferences_in_progress{task="digits"}[10m])'
            eventually(lambda: query(receiver.url, count), 60)
            began = time.time()
            time.sleep(5)
            receiver.stop()
            time.sleep(AWAY_SECONDS)
            receiver.start()

            def is_made_up_for():
                since = int(time.time() - began)
                got = query(receiver.url, count.replace("10m", f"{since}s"))
                return got and got[0][1] >= since - 5 and (since, got[0][1])

            since, got = eventually(is_made_up_for, 120)
            with capsys.disabled():
                print(f"\naway for {AWAY_SECONDS} s: {got:.0f} samples of {since} s, one a second")
        finally:
            agent.terminate()
            agent.wait(30)
