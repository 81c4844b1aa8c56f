"""The command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from gateways import answer

from sedna_metrics.catalogue import ALL
from sedna_metrics.cli import main


def test_the_catalogue_as_json_has_every_metric_with_its_contract(capsys):
    assert main(["catalogue", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [metric.name for metric in ALL]
    row = next(row for row in rows if row["name"] == "sedna_inferences_total")
    assert row["type"] == "counter"
    assert row["labels"] == ["location"]
    assert row["proposal"] == ["EdgeInferenceCount", "CloudInferenceCount"]
    assert row["help"].startswith("EdgeInferenceCount")
    assert {"unit"} < set(row)


def test_the_catalogue_for_people_has_every_metric_and_proposal_name(capsys):
    assert main(["catalogue"]) == 0
    shown = capsys.readouterr().out
    for metric in ALL:
        assert metric.name in shown
        assert all(name in shown for name in metric.proposal)


def test_without_a_command_it_says_what_there_is(capsys):
    assert main([]) == 2
    assert "catalogue" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m sedna_metrics catalogue --format json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "waits"),
    [
        (["bundle", "FOLDER/bundle.zip"], "subprocess.run"),
        (["doctor"], "requests.Session.request"),
        (["flush", "--prune-older-than", "1d"], "requests.Session.request"),
        (["inject", "-"], "sys.stdin"),
        (["stack", "check", "FOLDER", "--cluster"], "subprocess.run"),
        (["top", "FOLDER"], "time.sleep"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_ctrl_c_ends_a_command_quietly(tmp_path, mocker, monkeypatch, capsys, arguments, waits):
    monkeypatch.setenv("SEDNA_METRICS_PUSHGATEWAY_URL", "http://gateway.invalid:9091")
    monkeypatch.setenv("SEDNA_METRICS_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("PATH", str(tmp_path))
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\n")
    kubectl.chmod(0o700)
    if waits == "sys.stdin":
        pytest.importorskip("ruamel.yaml")
        mocker.patch(waits).__enter__.side_effect = KeyboardInterrupt
    else:
        mocker.patch(waits, side_effect=KeyboardInterrupt)
    assert main([each.replace("FOLDER", str(tmp_path)) for each in arguments]) == 130
    assert capsys.readouterr().err == ""


def test_a_scripts_own_ctrl_c_stays_its_own(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("raise KeyboardInterrupt")
    command = [sys.executable, "-m", "sedna_metrics", "run", "--export", "off", "--log", "off", str(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "script.py" in done.stderr
    assert done.stderr.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("call", ["nowhere.py", "folder/nowhere.py"])
def test_a_script_that_does_not_exist_is_an_error_of_run(tmp_path, call):
    (tmp_path / "folder").mkdir()
    command = [sys.executable, "-m", "sedna_metrics", "run", "--export", "off", "--log", "off", call]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("sedna-metrics run: ")


@pytest.mark.parametrize("script", ["import nowhere", "raise ImportError('x')", "open('nowhere')", "1 +", "x\0"])
def test_a_scripts_own_error_is_shown_as_python_shows_it(tmp_path, script):
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "-m", "sedna_metrics", "run", "--export", "off", "--log", "off", "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert not done.stderr.startswith("sedna-metrics run: ")


@pytest.mark.parametrize(
    "group",
    [5, {}, {"labels": 5}, {"labels": {"job": "sedna-worker", "x": 5}}, {"labels": {"job": ["x"]}},
     {"labels": {"job": "sedna-worker"}, "push_time_seconds": {"metrics": [{"value": "x"}]}}],
    ids=json.dumps,
)  # fmt: skip
def test_groups_as_no_pushgateway_has_them_are_left_alone(gateway, tmp_path, capsys, group):
    old = {"push_time_seconds": {"metrics": [{"value": "1"}]}}
    gateway.behaviour = answer(
        "200 OK", body=json.dumps({"data": [{**old, **group} if isinstance(group, dict) else group]})
    )
    options = ["--pushgateway-url", gateway.url, "--spool-dir", str(tmp_path / "spool"), "--prune-older-than", "1d"]
    assert main(["flush", *options]) in (0, 1)
    assert len(capsys.readouterr().err.splitlines()) <= 1
    assert [request.method for request in gateway.requests] == ["GET"]


@pytest.mark.parametrize("text", ["", "<html>", "[]", "5", "{}", "\\377"])
def test_a_kubectl_that_answers_something_else(tmp_path, monkeypatch, capsys, text):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\nprintf '{text}'\n")
    kubectl.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert main(["stack", "check", str(tmp_path), "--cluster"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sedna-metrics stack: ")


@pytest.mark.parametrize(
    "kind", ["missing", "folder", "empty", "binary", "dangling link", "link to itself", "long name"]
)
@pytest.mark.parametrize(
    "call",
    ["inject PATH", "inject --uninject PATH", "stack export PATH", "stack check PATH", "top PATH --interval 0.1",
     *(f"top https://127.0.0.1:1 --interval 0.1 --{kind}-file PATH" for kind in ("ca", "cert", "key", "bearer-token")),
     "flush --sd-dir PATH", "flush --spool-dir PATH", "flush --spool-dir PATH --pushgateway-url http://127.0.0.1:1"],
)  # fmt: skip
def test_any_path_is_taken_without_a_traceback(tmp_path, monkeypatch, capsys, call, kind):
    path = tmp_path / ("x" * 300 if kind == "long name" else "x.yaml")
    if kind == "folder":
        path.mkdir()
    elif kind in ("empty", "binary"):
        path.write_bytes(bytes(range(256)) if kind == "binary" else b"")
    elif "link" in kind:
        path.symlink_to("nowhere" if kind == "dangling link" else path.name)
    monkeypatch.chdir(tmp_path)
    assert main(call.replace("PATH", path.name).split()) in (0, 1, 2)
    assert all(each.isprintable() for each in capsys.readouterr().err.splitlines())
