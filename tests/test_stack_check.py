"""``sedna-metrics stack check`` says what is wrong with a folder, and only that."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from support import program

import sedna_metrics
from sedna_metrics.cli import main
from sedna_metrics.stack import check, export


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(program("promtool")).parent), prepend=":")
    export(tmp_path / "stack")
    return tmp_path / "stack"


def wrong(folder):
    return {finding.subject: finding.problem for finding in check(folder) if finding.problem}


def test_what_was_just_exported_is_in_order(folder, capsys):
    assert wrong(folder) == {}
    assert main(["stack", "check", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert any("promtool check rules" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("grafana/dashboards/overview.json", lambda text: text[:-20], "no dashboard"),
        ("grafana/dashboards/overview.json", lambda text: json.dumps({**json.loads(text), "__inputs": []}), "__inputs"),
        (
            "grafana/dashboards/overview.json",
            lambda text: text.replace("sedna_training_loss", "sedna_train_loss"),
            "sedna_train_loss",
        ),
        ("prometheus/rules.yml", lambda text: text.replace("sum by (", "sum bye (", 1), "parse error"),
        ("prometheus/standalone.yml", lambda text: text.replace("file_sd_configs", "file_sd"), "file_sd"),
        ("prometheus/edge-agent.yml", lambda text: text + "rule_files: [x.yml]\n", "agent"),
        ("loki/loki.yml", None, "missing"),
    ],
)
def test_what_is_wrong_is_said(folder, capsys, name, change, said):
    path = folder / name
    if change:
        path.write_text(change(path.read_text()))
    else:
        path.unlink()
    problems = wrong(folder)
    assert any(said in problem for problem in problems.values()), problems
    assert main(["stack", "check", str(folder)]) == 1
    assert "wrong" in capsys.readouterr().out


_SHAPES = {"a number": b"5", "a list": b'["x"]', "control characters": b"\0", "binary": b"\xff\xfe\x00a", "cut": b"{"}
_BOARDS = {
    "empty": b"",
    "null": b"null",
    **{f"{key}: {value}": json.dumps({"uid": "a", "panels": [], key: value}).encode()
       for key, value in (("panels", None), ("panels", 5), ("panels", "x"), ("panels", ["x"]))},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(name, content, id=f"{name.rpartition('/')[2]} {shape}")
        for name in (
            "prometheus/rules.yml", "prometheus/standalone.yml", "prometheus/edge-agent.yml",
            "grafana/dashboards/overview.json", ".sedna-metrics.json",
        )
        for shape, content in {**_SHAPES, **(_BOARDS if "dashboards" in name else {})}.items()
    ],
)  # fmt: skip
def test_a_malformed_file_gets_a_line_that_names_it_and_the_fault(folder, capsys, name, content):
    (folder / name).write_bytes(content)
    assert main(["stack", "check", str(folder)]) == 1
    out, err = capsys.readouterr()
    wrong_lines = [line for line in out.splitlines() if line.startswith("wrong")]
    assert [line for line in wrong_lines if name.rpartition("/")[2] in line or "export" in line], wrong_lines
    assert not err
    assert "NoneType" not in out, "the fault is said in the file's terms, not Python's"


def test_an_export_of_another_version_is_said(folder):
    path = folder / ".sedna-metrics.json"
    path.write_text(path.read_text().replace(sedna_metrics.__version__, "0.0.1"))
    assert "written by sedna-metrics 0.0.1" in wrong(folder)["export"]
    path.write_text(re.sub(r',\s+"version": "0.0.1"', "", path.read_text()))
    assert "an older version" in wrong(folder)["export"]


FLAG = re.compile(r"^( +- )--[a-z.-]+[a-z](?==|$| )", re.MULTILINE)


def test_a_program_is_asked_whether_it_takes_each_of_its_arguments(folder, kube_state_metrics, monkeypatch):
    programs = (kube_state_metrics, program("prometheus"), program("prometheus-pushgateway"))
    monkeypatch.setenv("PATH", os.pathsep.join(str(Path(each).parent) for each in programs), prepend=os.pathsep)
    for name in ("kube-state-metrics", "prometheus", "pushgateway"):
        path = folder / "kubernetes" / f"{name}.yml"
        text = path.read_text().replace("prometheus:v3.", "prometheus:v2.")  # the version at hand
        path.write_text(text)
        subject = f"arguments of {name} in kubernetes/{name}.yml"
        assert [finding.problem for finding in check(folder) if finding.subject == subject] == [""]
        flags = list(FLAG.finditer(text))
        assert len(flags) == text.count(" - --")
        for flag in flags:
            path.write_text(f"{text[: flag.end()]}-more{text[flag.end() :]}")
            assert "unknown" in wrong(folder)[subject]
        path.write_text(text)


def test_a_program_of_another_version_is_not_asked(folder, capsys):
    path = folder / "kubernetes" / "prometheus.yml"
    path.write_text(path.read_text().replace("prometheus:v3.", "prometheus:v1.").replace("--web.", "--wob."))
    assert main(["stack", "check", str(folder)]) == 0
    assert "not checked: the image is version 1" in capsys.readouterr().out


def test_an_edited_file_may_be_so(folder, capsys):
    path = folder / "loki" / "loki.yml"
    path.write_text(path.read_text().replace("336h", "48h"))
    assert main(["stack", "check", str(folder)]) == 0
    assert "loki/loki.yml: edited" in capsys.readouterr().out


def test_a_folder_that_is_none_or_nobodys(tmp_path, capsys):
    assert main(["stack", "check", str(tmp_path / "none")]) == 1
    assert "is no folder" in capsys.readouterr().err
    assert "not written by" in wrong(tmp_path)["export"]
