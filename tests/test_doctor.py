"""``sedna-metrics doctor``: what it finds, what it says to do, and what it does not say."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from gateways import answer
from support import free_port

from sedna_metrics.cli import _doctor, main
from sedna_metrics.exposition.spool import Spool

CANARY = "c4n4ry"
JI = {"SERVICE_NAME": "helmet", "WORKER_NAME": "edgeworker-x2x5q", "NAMESPACE": "factory"}

GROUP = "/metrics/job/sedna-worker/instance/n/namespace/default/task/t/worker_type/train"


@pytest.fixture
def look(tmp_path):
    """Findings by topic, of an environment."""

    def look_(**environ):
        environ = {"SEDNA_METRICS_SPOOL_DIR": str(tmp_path / "spool"), "SEDNA_METRICS_HOST": "127.0.0.1", **environ}
        found = {}
        for finding in _doctor.examine(environ):
            found.setdefault(finding.topic, []).append(finding)
        return found

    return look_


def test_who_the_worker_is_and_from_where(look):
    found = look(**JI)
    assert found["task"][0].said == "helmet (from SERVICE_NAME)"
    assert found["worker"][0].said == "edgeworker-x2x5q (from WORKER_NAME)"
    assert found["namespace"][0].said == "factory (from NAMESPACE)"
    assert found["kind"][0].said == "jointinferenceservice, edge (from WORKER_NAME or the pod name)"
    assert "NODE_NAME" in found["node"][0].said
    assert look(**JI, NODE_NAME="n1")["node"][0].said == "n1 (from NODE_NAME)"
    assert not any(each.remedy for findings in found.values() for each in findings)
    outside = look()
    assert "not in Sedna" in outside["task"][0].said
    assert outside["namespace"][0].said == "default (default)"


def test_settings_unknown_wrong_and_right(look):
    found = look(SEDNA_METRICS_PUSH_INTERVALL="5", SEDNA_METRICS_PORT="9471")
    unknown, known = found["settings"]
    assert "Did you mean SEDNA_METRICS_PUSH_INTERVAL?" in unknown.remedy
    assert "SEDNA_METRICS_PORT=9471" in known.said
    (wrong,) = look(SEDNA_METRICS_PORT="ninety")["settings"]
    assert "'ninety'" in wrong.remedy
    (wrong,) = look(SEDNA_METRICS_EXPORT="push")["settings"]
    assert "pushgateway_url is not set" in wrong.remedy


def test_a_pushgateway_that_nothing_would_be_pushed_to(look, pushgateway):
    (export,) = look(SEDNA_METRICS_PUSHGATEWAY_URL=pushgateway.url)["export"]
    assert "nothing is pushed" in export.remedy
    assert "SEDNA_METRICS_EXPORT" in export.remedy
    for known in ({"SEDNA_METRICS_EXPORT": "push"}, JI):
        assert not look(SEDNA_METRICS_PUSHGATEWAY_URL=pushgateway.url, **known)["export"][0].remedy


def test_ports(look):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (finding,) = look(SEDNA_METRICS_PORT=str(port))["port"]
        assert "SEDNA_METRICS_PORT" in finding.remedy
        assert f"no port of {port} is available" in finding.said
    (finding,) = look(SEDNA_METRICS_PORT=str(port))["port"]
    assert finding.said == f"{port} is free on 127.0.0.1"
    assert look(SEDNA_METRICS_PORT="0")["port"][0].said == "any free port"


def test_a_real_pushgateway_is_as_it_was_before(look, pushgateway, tmp_path):
    found = look(SEDNA_METRICS_PUSHGATEWAY_URL=pushgateway.url)
    assert "accepted and deleted a test group" in found["pushgateway"][0].said
    assert found["clock"][0].said.startswith("within 5 s")
    assert found["spool"][0].said == f"{tmp_path / 'spool'} can be made"
    assert not (tmp_path / "spool").exists(), "a look changes nothing"
    assert requests.get(f"{pushgateway.url}/api/v1/metrics", timeout=5).json()["data"] == []


def test_a_pushgateway_that_does_not_answer_or_does_not_take(look, gateway):
    down = look(SEDNA_METRICS_PUSHGATEWAY_URL=f"http://127.0.0.1:{free_port()}")
    assert "No answer" in down["pushgateway"][0].remedy
    assert "not compared" in down["clock"][0].said
    gateway.behaviour = answer("401 Unauthorized")
    refused = look(SEDNA_METRICS_PUSHGATEWAY_URL=gateway.url)
    assert "401" in refused["pushgateway"][0].said
    assert "credentials" in refused["pushgateway"][0].remedy


@pytest.mark.parametrize(("shift", "said"), [(-3600, "ahead of"), (3600, "behind")])
def test_a_clock_that_is_off(look, gateway, shift, said):
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + shift))
    gateway.behaviour = answer("200 OK", headers=f"Date: {date}\r\n")
    (finding,) = look(SEDNA_METRICS_PUSHGATEWAY_URL=gateway.url)["clock"]
    assert said in finding.said
    assert "NTP" in finding.remedy


def test_what_waits_in_the_spool_and_folders_that_cannot_be(look, gateway, tmp_path):
    with_gateway = {"SEDNA_METRICS_PUSHGATEWAY_URL": gateway.url}
    Spool(tmp_path / "spool", 2**20, 600).put(gateway.url, GROUP, b"x 1\n")
    (finding,) = look(**with_gateway)["spool"]
    assert finding.said.endswith(": 1")
    assert "sedna-metrics flush" in finding.remedy
    assert look(**with_gateway, SEDNA_METRICS_SPOOL_DIR="off")["spool"][0].said.startswith("off")
    (tmp_path / "file").write_text("")
    inside = str(tmp_path / "file" / "folder")
    assert look(**with_gateway, SEDNA_METRICS_SPOOL_DIR=inside)["spool"][0].remedy
    assert look(SEDNA_METRICS_SD_DIR=inside)["sd_dir"][0].remedy
    assert "can be made" in look(SEDNA_METRICS_SD_DIR=str(tmp_path / "sd"))["sd_dir"][0].said
    (tmp_path / "sd").mkdir()
    assert "can be written" in look(SEDNA_METRICS_SD_DIR=str(tmp_path / "sd"))["sd_dir"][0].said


def test_sedna_and_its_hooks(look, monkeypatch):
    assert "not installed" in look()["sedna"][0].said
    standin = Path(__file__).parent / "sedna_standin"
    monkeypatch.syspath_prepend(str(standin))
    monkeypatch.setenv("PYTHONPATH", str(standin))
    found = look()
    if found["sedna"][0].remedy:
        pytest.skip("the stand-in lacks core/base.py")
    assert "of Sedna's methods can be observed" in found["hooks"][0].said


@pytest.mark.parametrize("folder", ["/proc/1/x", "file/x", "loop/x"])
def test_a_folder_that_cannot_even_be_looked_at(look, gateway, tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    found = look(
        SEDNA_METRICS_PUSHGATEWAY_URL=gateway.url, SEDNA_METRICS_SPOOL_DIR=folder, SEDNA_METRICS_SD_DIR=folder,
        SEDNA_METRICS_EXPORT="both",
    )  # fmt: skip
    assert folder in found["spool"][0].said
    assert found["spool"][0].remedy
    assert found["sd_dir"][0].remedy


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "[::1]"])
def test_an_invalid_host(look, host):
    (finding,) = look(SEDNA_METRICS_HOST=host)["port"]
    assert f"available on {host}: " in finding.said
    assert finding.remedy


@pytest.mark.parametrize("version", [None, b"\xff\x00", b"0.4.1\n\x1b[2J"])
def test_sednas_version_file_may_be_odd_or_missing(look, tmp_path, monkeypatch, version):
    (tmp_path / "sedna" / "service").mkdir(parents=True)
    (tmp_path / "sedna" / "service" / "client.py").write_text("")
    (tmp_path / "sedna" / "__init__.py").write_text("")
    file = tmp_path / "sedna" / "VERSION"
    if version is not None:
        file.write_bytes(version)
    monkeypatch.syspath_prepend(str(tmp_path))
    (finding,) = look()["sedna"]
    assert str(tmp_path / "sedna") in finding.said


def test_another_package_called_sedna(look, tmp_path, monkeypatch):
    (tmp_path / "elsewhere" / "sedna").mkdir(parents=True)
    (tmp_path / "elsewhere" / "sedna" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    assert "PYTHONPATH" in look()["sedna"][0].remedy


def test_no_secret_is_shown(tmp_path):
    (tmp_path / "password").write_text(CANARY)
    environ = {
        "PATH": "",
        "SEDNA_METRICS_SPOOL_DIR": str(tmp_path / "spool"),
        "SEDNA_METRICS_PUSHGATEWAY_URL": f"http://user:{CANARY}@127.0.0.1:{free_port()}/?token={CANARY}",
        "SEDNA_METRICS_PUSHGATEWAY_PASSWORD": CANARY,
        "SEDNA_METRICS_PUSHGATEWAY_BEARER_TOKEN": CANARY,
        "SEDNA_METRICS_AUTH_PASSWORD": CANARY,
        "SEDNA_METRICS_AUTH_PASSWORD_FILE": str(tmp_path / "password"),
    }
    for style in ("text", "json"):
        command = [sys.executable, "-m", "sedna_metrics", "doctor", "--format", style]
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        assert "pushgateway" in done.stdout
        assert CANARY not in done.stdout + done.stderr


def test_the_command(monkeypatch, capsys):
    monkeypatch.setenv("SEDNA_METRICS_HOST", "127.0.0.1")
    monkeypatch.setenv("SEDNA_METRICS_PORT", "0")
    assert main(["doctor"]) == 0
    assert all(line.startswith("ok  ") for line in capsys.readouterr().out.splitlines())
    monkeypatch.setenv("SEDNA_METRICS_BUCKETS", "nonsense")
    assert main(["doctor", "--format", "json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert [finding["topic"] for finding in findings if finding["remedy"]] == ["settings"]


def test_no_code_of_the_current_folder_runs(look, tmp_path, monkeypatch):
    standin = Path(__file__).parent / "sedna_standin"
    monkeypatch.syspath_prepend(str(standin))
    monkeypatch.setenv("PYTHONPATH", str(standin))
    monkeypatch.chdir(tmp_path)
    for name in ("json.py", "importlib.py", "sedna_metrics.py"):
        (tmp_path / name).write_text("import pathlib; pathlib.Path('ran').write_text('')")
    assert "hooks" in look()
    assert not (tmp_path / "ran").exists()


def test_a_gateways_control_characters_do_not_reach_the_terminal(gateway, monkeypatch, capsys):
    monkeypatch.setenv("SEDNA_METRICS_PUSHGATEWAY_URL", gateway.url)
    gateway.behaviour = answer("400 Bad\x1b[2J", body="\x1b]0;owned\x07no")
    assert main(["doctor"]) == 1
    assert "\x1b" not in capsys.readouterr().out
