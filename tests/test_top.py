"""``sedna-metrics top``: what it reads, what it shows, and the terminal."""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import select
import signal
import socket
import sys
import time

import pytest
import requests
from gateways import answer, nonsense, trickle
from support import free_port

from sedna_metrics.catalogue import ALL
from sedna_metrics.catalogue.worker import WORKER_INFO
from sedna_metrics.cli import _top, main
from sedna_metrics.cli._top import Watch, read
from sedna_metrics.cli._workers import (
    SILENT_SECONDS,
    SORTABLE,
    duration,
    figures,
    number,
    quantile,
    samples_by_worker,
    table,
)

IL = {"JOB_NAME": "helmet", "WORKER_NAME": "train-worker-x", "NODE_NAME": "edge-1", "NAMESPACE": "default"}
WHO = (("task", "helmet"), ("worker", "w"))


@pytest.fixture
def served(start):
    """A worker whose /metrics is read, and its address."""
    worker = start(IL, export="pull", host="127.0.0.1", port=0)
    return worker, worker.url


def options(*sources, **given):
    """The command's options."""
    files = dict.fromkeys(("ca_file", "cert_file", "key_file", "bearer_token_file"), "")
    return argparse.Namespace(**{**files, "sources": sources, "token_over_http": False, **given})


def look(url, before=None, seconds=0.0):
    """The one worker there, beside an earlier look at it."""
    ((who, samples),) = read(url, options()).items()
    row = figures(who, samples, before["samples"] if before else samples, seconds)
    return {**row, "samples": samples}


def rows(*sources):
    return Watch(options(*sources)).look()


def targets(sources):
    return Watch(options(*sources)).targets()


def problem(url, **given):
    found = read(url, options(**given))
    return found if isinstance(found, str) else ""


def test_a_training_worker(served, clock):
    worker, url = served
    with worker.incremental_learning.training(samples=10, epochs=4) as training:
        for loss in (0.9, 0.5, 0.25):
            with training.epoch():
                training.loss(loss)
                clock.advance(10)
            row = look(url)
            assert row["LOSS"] == loss
        assert (row["TASK"], row["WORKER"], row["NODE"], row["STATE"]) == (
            "helmet",
            "train-worker-x",
            "edge-1",
            "train running",
        )
        assert row["PROGRESS"] == 0.5, "the third epoch is the one shown as under way"
        assert row["LEFT"] == pytest.approx(10)
    row = look(url)
    assert (row["STATE"], row["LEFT"]) == ("train completed", 0)


def test_the_time_left_is_that_of_the_evaluation_if_there_is_one(served, clock):
    worker, url = served
    il = worker.incremental_learning
    with il.training(epochs=2):
        pass
    with il.evaluation() as evaluation:
        for done in (1, 2):
            clock.advance(3)
            evaluation.progress(done, 6)
        row = look(url)
    assert (row["STATE"], row["LEFT"]) == ("eval running", pytest.approx(12))


def test_a_client_certificate_and_an_authority(start, authority):
    files = {"tls_cert_file": authority / "server.pem", "tls_key_file": authority / "server.key"}
    worker = start(IL, export="pull", host="127.0.0.1", port=0, tls_client_ca_file=authority / "ca.pem", **files)
    url = worker.url.replace("127.0.0.1", "localhost")
    ca, certificate = {"ca_file": str(authority / "ca.pem")}, {"cert_file": str(authority / "client.pem")}
    assert problem(url)
    assert problem(url, **ca)
    assert not problem(url, **ca, **certificate)


def test_a_token_is_read_at_each_look_and_goes_over_https_alone(gateway, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    url, file = f"{gateway.url}/metrics", str(tmp_path / "token")
    for token in ("one", "two"):
        (tmp_path / "token").write_text(f"{token}\n")
        assert not problem(url, bearer_token_file=file, token_over_http=True)
        assert gateway.requests[-1].headers["authorization"] == f"Bearer {token}"
    asked = len(gateway.requests)
    assert "over http" in problem(url, bearer_token_file=file)
    assert len(gateway.requests) == asked
    assert "none" in problem(url, bearer_token_file=str(tmp_path / "none"), token_over_http=True)
    assert not problem(url)
    assert "authorization" not in gateway.requests[-1].headers, "a password of .netrc was sent"


def test_rates_ratios_quantiles_and_errors_of_inference(served, clock):
    worker, url = served
    ji = worker.joint_inference

    def infer(location, seconds):
        with location():
            clock.advance(seconds)

    infer(ji.edge_inference, 50)  # before the first look: no part of what is recent
    first = look(url)
    assert first["EDGE/S"] is None
    for _ in range(8):
        infer(ji.edge_inference, 0.004)
        ji.hard_sample(False)
    for _ in range(2):
        infer(ji.cloud_inference, 1.5)
        ji.hard_sample()
    with pytest.raises(OSError, match="camera"), ji.cloud_inference():
        raise OSError("camera")
    second = look(url, first, 4)
    assert (second["EDGE/S"], second["CLOUD/S"]) == (2.0, 0.5)
    assert second["HARD"] == pytest.approx(2 / 9)
    assert 1 < second["P95"] <= 2
    assert second["ERRORS"] == 1
    third = look(url, second, 4)
    assert third["EDGE/S"] == 0
    assert third["P95"] > 2, "nothing is recent: all inferences count, the slow one too"


def test_a_cloud_worker_shows_what_it_serves(served, clock):
    worker, url = served

    def serve():
        with worker.joint_inference.serve():
            clock.advance(0.004)

    serve()
    before = look(url)
    for _ in range(6):
        serve()
    row = look(url, before, 2)
    assert row["CLOUD/S"] == 3
    assert 0.002 < row["P95"] <= 0.005


def test_an_aggregator_shows_its_round(served):
    worker, url = served
    for _ in range(2):
        with worker.federated_learning.aggregation() as aggregation:
            aggregation.update("a")
    assert look(url)["STATE"] == "round 2"
    worker.federated_learning.status("running")
    assert look(url)["STATE"] == "running round 2"


def test_a_counter_that_fell_began_anew():
    def at(count):
        return {("sedna_inferences_total", (("location", "edge"),)): count}

    assert figures(WHO, at(30.0), at(100.0), 10)["EDGE/S"] == 3.0


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


def test_a_pushgateway_has_many_workers_and_other_peoples_groups(start, pushgateway):
    for node in ("edge-1", "edge-2"):
        worker = start({**IL, "NODE_NAME": node}, export="push", pushgateway_url=pushgateway.url, push_interval=60)
        with worker.incremental_learning.training() as training:
            training.loss(0.5)
        assert worker.flush()
        worker.close()
    requests.put(f"{pushgateway.url}/metrics/job/other", data='sedna_other 1\nx{worker="w"} 2\n', timeout=5)
    shown = rows(pushgateway.url)
    assert sorted((each["WORKER"], each["NODE"]) for each in shown) == [
        ("train-worker-x", "edge-1"),
        ("train-worker-x", "edge-2"),
    ]
    assert all(
        0 <= each["PUSHED"] < 60 and each["LOSS"] == 0.5 and each["STATE"] == "train completed" for each in shown
    )


@pytest.mark.parametrize(
    ("status", "age", "state"),
    [
        ("running", SILENT_SECONDS + 60, "train running (silent)"),
        ("running", 20, "train running"),
        ("completed", SILENT_SECONDS + 60, "train completed"),
    ],
)
def test_a_dead_job_is_not_shown_as_running(status, age, state):
    group = 'instance="edge-1",job="sedna-worker",namespace="default",task="helmet",worker_type="train"'
    ((who, samples),) = samples_by_worker(f"""
sedna_worker_info{{{group},worker="w",node="edge-1"}} 1
sedna_task_stage{{{group},worker="w",task_stage="train"}} 1
sedna_stage_status{{{group},worker="w",task_stage="train",status="{status}"}} 1
push_time_seconds{{{group}}} {time.time() - age}
""").items()
    row = figures(who, samples, samples, 0)
    assert row["STATE"] == state
    assert row["PUSHED"] == pytest.approx(age, abs=5)


def test_sources_are_urls_addresses_and_folders(start, tmp_path):
    folder = tmp_path / "targets"
    worker = start(IL, export="pull", host="127.0.0.1", port=0, sd_dir=folder)
    (folder / "sedna-torn.json").write_text('[{"targets": ')
    (folder / "sedna-odd.json").write_text('[{"targets": ["x:1"], "labels": {}}, 1]')
    (folder / "sedna-deep.json").write_text("[" * 100_000)
    os.mkfifo(folder / "sedna-fifo.json")
    assert set(targets([str(folder)])) == {worker.url, "http://x:1/metrics"}
    (folder / "sedna-odd.json").unlink()
    address = worker.url.split("/")[2]
    assert targets([str(folder), worker.url, address, f"http://{address}"]) == [worker.url]
    for wrong in ("nonsense", "gateway:@attacker.example:9091", "file:///etc/passwd", "http:", "a:1/b", "x" * 300):
        with pytest.raises(ValueError, match="neither"):
            targets([wrong])


@pytest.mark.parametrize("source", ["x:1", "x:1/", "http://x:1", "http://x:1/", "http://x:1/metrics"])
def test_metrics_is_the_path_of_a_source_without_one(source):
    assert targets([source]) == ["http://x:1/metrics"]


def test_a_path_or_query_of_a_source_is_kept():
    assert targets(["https://u:p@x/prefix/", "http://x:1/?a=b"]) == ["https://u:p@x/prefix/", "http://x:1/metrics?a=b"]


def test_a_folder_that_goes_and_comes_back_is_no_error(tmp_path):
    folder = tmp_path / "targets"
    folder.mkdir()
    watch = Watch(options(str(folder)))
    folder.rmdir()
    assert watch.look() == []
    folder.mkdir()
    (folder / "sedna-x.json").write_text('[{"targets": ["x:1"]}]')
    assert watch.targets() == ["http://x:1/metrics"]


@pytest.mark.parametrize("interval", ["nan", "-1", "0"])
def test_no_interval_is_an_error(tmp_path, mocker, interval):
    slept = mocker.patch.object(_top.time, "sleep")
    assert main(["top", str(tmp_path), "--interval", interval]) == 1
    slept.assert_called_once()
    assert slept.call_args.args[0] > 0


@pytest.mark.parametrize("target", ["gateway:@attacker:80", "a:1/path", "user:pw@b:1", "b:1?x", 7, None])
def test_a_file_names_hosts_and_ports_alone(tmp_path, target):
    groups = [{"targets": [target], "labels": {"__scheme__": "file"}}]
    (tmp_path / "sedna-x.json").write_text(json.dumps(groups))
    assert targets([str(tmp_path)]) == []


def test_a_source_that_does_not_answer_is_shown_as_such(start):
    (row,) = rows(f"http://user:secret@127.0.0.1:{free_port()}/metrics")
    assert "refused" in row["STATE"]
    assert "secret" not in table([row])
    worker = start(IL, export="pull", host="127.0.0.1", port=0)
    assert problem(worker.url.replace("/metrics", "/nothing")) == "answers 404"


def test_a_host_that_does_not_exist(mocker):
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    mocker.patch.object(socket, "getaddrinfo", side_effect=unknown)
    assert "Name or service not known" in problem("http://no-such-host.invalid/metrics")


def test_a_source_that_trickles_or_lies_holds_nobody_up(start, gateway, mocker):
    mocker.patch.object(_top, "TIMEOUT_SECONDS", 0.3)
    worker = start(IL, export="pull", host="127.0.0.1", port=0)
    gateway.behaviour = trickle
    slow, good = rows(gateway.url + "/metrics", worker.url)
    assert slow["STATE"].startswith("no answer within")
    assert "problem" not in good
    hostile = 'sedna_inference_duration_seconds_bucket{worker="w",le="x"} 1\nsedna_worker_info{worker="w"} 1\n'
    bodies = [answer("200 OK", body=text) for text in ("<html>", "a{b=1\n", hostile)]
    for behaviour in (*bodies, nonsense, answer("302 Found\r\nLocation: /x")):
        gateway.behaviour = behaviour
        for row in rows(gateway.url):
            table([row])  # draws, whatever there is


def test_what_is_short_to_read():
    assert [duration(each) for each in (0, 0.0042, 42.31, 61, 3723, float("nan"))] == [
        "0s", "4.2ms", "42.3s", "1m01s", "1h02m", "",
    ]  # fmt: skip
    assert [number(each) for each in (0.0, 3.14159, 123456)] == ["0", "3.14", "123,456"]


def samples(task="helmet", **values):
    names = {
        "edge": ("sedna_inferences_total", (("location", "edge"),)),
        "loss": ("sedna_training_loss", ()),
        "errors": ("sedna_inference_errors_total", (("location", "edge"),)),
        "p95": ("sedna_inference_duration_seconds_bucket", (("le", "+Inf"), ("location", "edge"))),
    }
    return {names[name]: value for name, value in values.items()}


def test_order_and_columns():
    some = [
        figures((("task", "b"), ("worker", "w")), samples(edge=4.0), samples(edge=2.0), 1.0),
        {"TASK": "?", "WORKER": "down:1", "STATE": "refuses", "problem": True},
        figures((("task", "a"), ("worker", "w")), samples(edge=1.0, errors=2.0), samples(edge=1.0), 1.0),
    ]
    for sort, order in (("task", "ab?"), ("edge/s", "ba?"), ("errors", "ab?"), ("loss", "ab?")):
        heading, *lines = table(some, sort).splitlines()
        assert "".join(line[0] for line in lines) == order, sort
    assert heading.split() == ["TASK", "WORKER", "STATE", "EDGE/S", "ERRORS"]
    assert lines[2].split() == ["?", "down:1", "refuses"]


def test_a_narrow_terminal_keeps_the_columns_that_matter():
    who = (("task", "helmet-detection-demo"), ("worker", "helmet-detection-demo-train-4kx2b-0"))
    row = figures(who, {**samples(edge=4.0, errors=1.0, loss=0.5, p95=9.0)}, samples(edge=1.0), 1.0)
    for width in (80, 100, 200):
        heading, line = table([row], width=width).splitlines()
        assert len(heading) <= width
        assert len(line) <= width
        assert {"P95", "ERRORS"} <= set(heading.split())
    assert "LOSS" in heading


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e300", "-1e300", "-1", "0"])
def test_any_value_of_any_metric_is_drawn(value):
    group = 'instance="i",job="sedna-worker",namespace="n",task="t",worker_type="train"'
    lines = [f"push_time_seconds{{{group}}} {value}", f'sedna_worker_info{{{group},worker="w"}} 1']
    for metric in set(ALL) - {WORKER_INFO}:
        labels = "".join(f',{label}="edge"' for label in metric.labels if label not in ("namespace", "worker_type"))
        buckets = [("_bucket", ',le="1"'), ("_bucket", ',le="+Inf"')] if metric.form == "histogram" else [("", "")]
        lines += [f'{metric.name}{suffix}{{{group},worker="w"{labels}{le}}} {value}' for suffix, le in buckets]
    ((who, found),) = samples_by_worker("\n".join(lines) + "\n").items()
    for before, seconds in (({}, 0.0), (found, 2.0)):
        for sort in SORTABLE:
            assert len(table([figures(who, found, before, seconds)] * 2, sort, 100).splitlines()) == 3


def test_what_others_wrote_does_not_reach_the_terminal_as_it_is():
    hostile = figures((("task", "a\nb"), ("worker", "\x1b]0;owned\x07w\x9b31m")), {}, {}, 0.0)
    _, line = table([hostile]).split("\n")
    assert line.isprintable()


def test_without_a_terminal_the_table_is_printed_once(served, capsys):
    assert main(["top", served[1], "--interval", "0.1"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.startswith("TASK")
    assert row.split()[:2] == ["helmet", "train-worker-x"]


def test_nothing_to_see(tmp_path, capsys):
    assert main(["top", str(tmp_path), "--interval", "0.1"]) == 1
    assert "no worker" in capsys.readouterr().err
    assert main(["top", f"127.0.0.1:{free_port()}", "--interval", "0.1"]) == 1
    assert "refused" in capsys.readouterr().out
    assert main(["top", "nonsense"]) == 2
    assert "neither" in capsys.readouterr().err


@pytest.fixture
def on_terminal():
    """Runs ``top`` in a terminal; Ctrl-C as soon as its output is as wanted. Gives its status and output."""

    def run(url, is_enough):
        child, terminal = pty.fork()
        if child == 0:  # pragma: no cover
            signal.signal(signal.SIGINT, signal.default_int_handler)
            environ = {**os.environ, "COLUMNS": "160", "LINES": "30"}
            command = [sys.executable, "-m", "sedna_metrics", "top", url, "--interval", "0.2"]
            os.execve(sys.executable, command, environ)
        output, deadline, is_stopped = "", time.monotonic() + 30, False
        while time.monotonic() < deadline:
            if not is_stopped and is_enough(output):
                os.write(terminal, b"\x03")
                is_stopped = True
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                output += os.read(terminal, 65536).decode()
            except OSError:
                break  # the terminal is closed
        _, status = os.waitpid(child, 0)
        os.close(terminal)
        assert is_stopped
        return os.WEXITSTATUS(status), output

    return run


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_terminal_is_drawn_until_ctrl_c(served, on_terminal):
    status, output = on_terminal(
        served[1], lambda output: len(re.findall("train-worker-x.*?by task", output, re.DOTALL)) >= 2
    )
    assert status == 0, output
    assert "Traceback" not in output


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_ctrl_c_during_the_first_look(on_terminal):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never answers
        is_asked = lambda _: bool(select.select([silent], [], [], 0)[0])  # noqa: E731
        status, output = on_terminal(f"127.0.0.1:{silent.getsockname()[1]}", is_asked)
    assert (status, output.strip().strip("^C").strip()) == (0, "")
