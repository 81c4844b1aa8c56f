"""``sedna-metrics top``: what it reads, what it makes of it, and the terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import socket
import sys
import time

import pytest
import requests
from conftest import free_port
from gateways import answer, nonsense, trickle

from sedna_metrics.cli import main
from sedna_metrics.top import screen, sources
from sedna_metrics.top.figures import Figures, Watch, quantile
from sedna_metrics.top.sources import Access, Look, look, targets

IL = {"JOB_NAME": "helmet", "WORKER_NAME": "train-worker-x", "NODE_NAME": "edge-1", "NAMESPACE": "default"}


@pytest.fixture
def served(start):
    """A worker whose /metrics is read, and its address."""
    worker = start(IL, export="pull", host="127.0.0.1", port=0)
    return worker, worker.url


def seen(watch, url, now):
    (figures,) = watch.see(look(targets([url])), now)
    return figures


def test_a_training_workers_line(served, clock):
    worker, url = served
    watch = Watch()
    il = worker.incremental_learning
    with il.training(samples=10, epochs=4) as training:
        for loss in (0.9, 0.5, 0.25):
            with training.epoch():
                training.loss(loss)
                clock.advance(10)
            figures = seen(watch, url, clock.monotonic())
        assert (figures.task, figures.worker) == ("helmet", "train-worker-x")
        assert figures.node == "edge-1"
        assert figures.state == "train running"
        assert figures.losses == [0.9, 0.5, 0.25]
        assert figures.done == 0.5, "the third epoch is the one shown as under way"
        assert figures.remaining == pytest.approx(10)
    figures = seen(watch, url, clock.monotonic())
    assert figures.state == "train completed"
    assert figures.remaining == 0


def test_the_time_left_is_that_of_the_evaluation_where_there_is_one(served, clock):
    worker, url = served
    il = worker.incremental_learning
    with il.training(epochs=2):
        pass
    with il.evaluation() as evaluation:
        for done in (1, 2):
            clock.advance(3)
            evaluation.progress(done, 6)
        figures = seen(Watch(), url, 0)
    assert (figures.state, figures.remaining) == ("eval running", pytest.approx(12))


def test_a_client_certificate_and_an_authority(start, authority):
    files = {"tls_cert_file": authority / "server.pem", "tls_key_file": authority / "server.key"}
    worker = start(IL, export="pull", host="127.0.0.1", port=0, tls_client_ca_file=authority / "ca.pem", **files)
    url = worker.url.replace("127.0.0.1", "localhost")
    client = Access(ca_file=str(authority / "ca.pem"), cert_file=str(authority / "client.pem"))
    assert look([url])[0].problem
    assert look([url], Access(ca_file=client.ca_file))[0].problem
    assert not look([url], client)[0].problem


def test_a_token_is_read_at_each_look_and_wins_over_netrc(gateway, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for token in ("one", "two"):
        (tmp_path / "token").write_text(f"{token}\n")
        assert not look([f"{gateway.url}/metrics"], Access(bearer_token_file=str(tmp_path / "token")))[0].problem
        assert gateway.requests[-1].headers["authorization"] == f"Bearer {token}"
    missing = Access(bearer_token_file=str(tmp_path / "none"))
    assert "none" in look([f"{gateway.url}/metrics"], missing)[0].problem


def test_rates_ratios_quantiles_and_errors_of_inference(served, clock):
    worker, url = served
    watch = Watch()
    ji = worker.joint_inference

    def infer(location, seconds):
        with location():
            clock.advance(seconds)

    infer(ji.edge_inference, 50)  # before the first look: no part of what is recent
    first = seen(watch, url, 0)
    assert first.edge_rate is None
    for _ in range(8):
        infer(ji.edge_inference, 0.004)
        ji.hard_sample(False)
    for _ in range(2):
        infer(ji.cloud_inference, 1.5)
        ji.hard_sample()
    with pytest.raises(OSError, match="camera"), ji.cloud_inference():
        raise OSError("camera")
    second = seen(watch, url, 4)
    assert (second.edge_rate, second.cloud_rate) == (2.0, 0.5)
    assert second.hard_ratio == pytest.approx(2 / 9)
    assert 0.002 < second.p50 <= 0.005
    assert 1 < second.p95 <= 2
    assert second.errors == 1
    third = seen(watch, url, 8)
    assert third.edge_rate == 0
    assert third.p95 > 2, "nothing is recent: all inferences count, the slow one too"


def test_a_cloud_workers_line_is_of_what_it_serves(served, clock):
    worker, url = served
    watch = Watch()

    def serve(seconds):
        with worker.joint_inference.serve():
            clock.advance(seconds)

    serve(0.004)
    seen(watch, url, 0)
    for _ in range(6):
        serve(0.004)
    figures = seen(watch, url, 2)
    assert figures.cloud_rate == 3
    assert 0.002 < figures.p50 <= 0.005


def test_an_aggregators_line_has_its_round(served):
    worker, url = served
    for _ in range(2):
        with worker.federated_learning.aggregation() as aggregation:
            aggregation.update("a")
    assert seen(Watch(), url, 0).state == "round 2"
    worker.federated_learning.status("running")
    assert seen(Watch(), url, 0).state == "running round 2"


def test_a_host_that_is_none(monkeypatch):
    def unknown(*arguments, **keywords):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert look(["http://no-such-host.invalid/metrics"])[0].problem == "no such host"


def test_a_counter_that_fell_began_anew():
    watch = Watch()

    def at(count, now):
        samples = {("sedna_inferences_total", (("location", "edge"),)): count}
        return watch.see([Look("x", {(("worker", "w"),): samples})], now)[0]

    at(100.0, 0)
    assert at(30.0, 10).edge_rate == 3.0


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, {}, None),
        (0.5, {1.0: 0, float("inf"): 0}, None),
        (0.5, {1.0: 10, 2.0: 10, float("inf"): 10}, 0.5),
        (0.95, {1.0: 60, 2.0: 120, float("inf"): 120}, 1.9),
        (0.99, {1.0: 1, float("inf"): 100}, 1.0),
    ],
)
def test_quantiles_are_prometheus_own(q, buckets, expected):
    assert quantile(q, buckets) == (None if expected is None else pytest.approx(expected))


def test_a_pushgateway_has_many_workers_and_other_peoples_groups(start, pushgateway, monkeypatch):
    for node in ("edge-1", "edge-2"):
        worker = start({**IL, "NODE_NAME": node}, export="push", pushgateway_url=pushgateway.url, push_interval=60)
        with worker.incremental_learning.training() as training:
            training.loss(0.5)
        assert worker.flush()
        worker.close()

    requests.put(f"{pushgateway.url}/metrics/job/other", data='sedna_other 1\nx{worker="w"} 2\n', timeout=5)
    shown = Watch().see(look(targets([pushgateway.url])), 0)
    assert sorted((each.worker, each.node) for each in shown) == [
        ("train-worker-x", "edge-1"),
        ("train-worker-x", "edge-2"),
    ]
    assert all(each.pushes >= 1 and each.losses == [0.5] and each.state == "train completed" for each in shown)


def test_sources_are_urls_addresses_and_folders(start, tmp_path):
    folder = tmp_path / "targets"
    worker = start(IL, export="pull", host="127.0.0.1", port=0, sd_dir=folder)
    (folder / "sedna-torn.json").write_text('[{"targets": ')
    (folder / "sedna-odd.json").write_text('[{"targets": ["x:1"], "labels": {}}, 1]')
    assert set(targets([str(folder)])) == {worker.url, "http://x:1/metrics"}
    (folder / "sedna-odd.json").unlink()
    address = worker.url.split("/")[2]
    assert targets([str(folder), worker.url, address, f"http://{address}"]) == [worker.url]
    assert not look([worker.url])[0].problem
    with pytest.raises(ValueError, match="neither"):
        targets(["nonsense"])


def test_a_source_that_does_not_answer_is_shown_as_such(start, clock):
    dead = f"http://user:secret@127.0.0.1:{free_port()}/metrics"
    (figures,) = Watch().see(look([dead]), 0)
    assert figures.problem == "refuses the connection"
    assert "secret" not in screen.plain([figures])
    worker = start(IL, export="pull", host="127.0.0.1", port=0)
    (missing,) = look([worker.url.replace("/metrics", "/nothing")])
    assert missing.problem == "answers 404"


def test_who_trickles_or_lies_holds_nobody_up(start, gateway, monkeypatch):
    monkeypatch.setattr(sources, "TIMEOUT_SECONDS", 0.3)
    worker = start(IL, export="pull", host="127.0.0.1", port=0)
    gateway.behaviour = trickle
    slow, good = look([gateway.url + "/metrics", worker.url])
    assert slow.problem.startswith("no answer within")
    assert not good.problem
    for behaviour in (answer("200 OK", body="<html>"), nonsense, answer("200 OK", body="a{b=1\n")):
        gateway.behaviour = behaviour
        assert look([gateway.url + "/metrics"])[0].problem


def test_what_is_short_to_read():
    assert [screen.duration(each) for each in (None, 0, 0.0042, 42.31, 61, 3723, float("nan"))] == [
        "", "0s", "4.2ms", "42.3s", "1m01s", "1h02m", "",
    ]  # fmt: skip
    assert [screen.number(each) for each in (None, 0.0, 3.14159, 123456)] == ["", "0", "3.14", "123,456"]
    assert screen.bar(0.5) == "█████░░░░░ 50%"
    assert screen.spark([0, 7, float("nan"), 3.5]) == "▁█!▄"
    assert screen.spark([2, 2]) == "▁▁"


def test_order_and_columns():
    some = [
        Figures("b", "w", "x", edge_rate=1.0),
        Figures("", "", "down:1", problem="refuses the connection"),
        Figures("a", "w", "x", edge_rate=9.0, errors=2.0),
    ]
    assert [each.task for each in screen.ordered(some, "t")] == ["a", "b", ""]
    assert [each.task for each in screen.ordered(some, "r")] == ["a", "b", ""]
    heading, *rows = screen.plain(some).splitlines()
    assert heading.split() == ["TASK", "WORKER", "STATE", "EDGE/S", "ERRORS"]
    assert "down:1" in rows[1]
    assert "refuses the connection" in rows[1]


def test_what_others_wrote_does_not_reach_the_terminal_as_it_is():
    hostile = Figures(task="a\nb", worker="\x1b]0;owned\x07w\x9b31m", source="")
    _, line = screen.plain([hostile]).split("\n")
    assert line.split() == ["a?b", "?]0;owned?w?31m"]


def test_without_a_terminal_the_table_is_printed_once(served, capsys):
    assert main(["top", served[1], "--interval", "0.1"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.startswith("TASK")
    assert row.split()[:2] == ["helmet", "train-worker-x"]


def test_nothing_to_see(tmp_path, capsys):
    assert main(["top", str(tmp_path), "--interval", "0.1"]) == 1
    assert "no worker" in capsys.readouterr().err
    assert main(["top", "nonsense"]) == 2
    assert "neither" in capsys.readouterr().err


class Terminal:
    """``sedna-metrics top`` on a pseudo terminal."""

    def __init__(self, *arguments, **environ):
        self.output = ""
        child, self._descriptor = pty.fork()
        if child == 0:  # pragma: no cover
            environ = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "30", **environ}
            os.execve(sys.executable, [sys.executable, "-m", "sedna_metrics", "top", *arguments], environ)
        self._child = child

    def press(self, key):
        os.write(self._descriptor, key.encode())

    def reads(self, pattern, seconds=30):
        """Read on until the pattern is there."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.output, re.DOTALL):
            assert time.monotonic() < deadline, self.output
            ready, _, _ = select.select([self._descriptor], [], [], 0.2)
            if ready:
                try:
                    self.output += os.read(self._descriptor, 65536).decode()
                except OSError:
                    break  # the terminal is closed
        found = re.search(pattern, self.output, re.DOTALL)
        assert found, self.output
        self.output = self.output[found.end() :]

    def ends(self):
        _, status = os.waitpid(self._child, 0)
        os.close(self._descriptor)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)


@pytest.mark.parametrize("key", ["q", "\x03"], ids=["q", "ctrl-c"])
def test_keys_on_a_terminal(served, key):
    terminal = Terminal(served[1], "--interval", "0.2")
    terminal.reads(r"\x1b\[\?1049h")
    terminal.reads("train-worker-x.*by task")
    terminal.press("e")
    terminal.reads("by errors")
    terminal.press("z")  # stands for nothing
    terminal.reads("by errors")
    terminal.press(key)
    terminal.reads(r"\x1b\[\?1049l")
    assert terminal.ends() == 0


def test_no_colour_where_none_is_wanted(served):
    terminal = Terminal(f"127.0.0.1:{free_port()}", served[1], "--interval", "0.2", NO_COLOR="1")
    terminal.reads("refuses the connection.*by task")
    terminal.press("q")
    terminal.ends()
    assert not re.search(r"\x1b\[\d+m", terminal.output)
    coloured = Terminal(f"127.0.0.1:{free_port()}", "--interval", "0.2")
    coloured.reads(r"\x1b\[31m.*refuses")
    coloured.press("q")
    assert coloured.ends() == 0
