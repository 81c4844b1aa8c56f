"""What ``sedna-metrics stack export`` writes, and what it leaves alone."""

from __future__ import annotations

import subprocess

import pytest
import yaml
from support import program

from sedna_metrics.cli import main
from sedna_metrics.stack import ADDRESSES, export
from sedna_metrics.stack._export import FILES as SHIPPED


def written(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".sedna-metrics.json"
    }


def test_what_is_shipped_is_what_the_catalogue_gives():
    pytest.importorskip("grafana_foundation_sdk", reason="the dashboards' builders need Python 3.11")
    from stackgen._all import FILES

    for name, text in FILES.items():
        assert (SHIPPED / name).read_text(encoding="utf-8") == text, f"{name} is out of date: run make stack"


def test_export_says_how_much_it_wrote_and_what_comes_next(tmp_path, capsys):
    assert main(["stack", "export", str(tmp_path / "new")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"wrote {len(written(tmp_path / 'new'))} files to {tmp_path / 'new'}"
    assert f"kubectl apply -k {tmp_path / 'new'}" in second
    assert written(tmp_path / "new") == written(SHIPPED)


@pytest.mark.parametrize("server", ADDRESSES)
def test_addresses_are_put_in(tmp_path, server):
    assert main(["stack", "export", str(tmp_path), f"--{server.replace('_', '-')}", "http://elsewhere:1"]) == 0
    texts = written(tmp_path)
    assert any("http://elsewhere:1" in text for text in texts.values())
    assert not any(ADDRESSES[server] in text for text in texts.values())
    assert main(["stack", "export", str(tmp_path)]) == 0, "what an export wrote, another may replace"
    assert written(tmp_path) == written(SHIPPED)


def test_edge_agents_write_to_prometheus_unless_told_otherwise(tmp_path):
    export(tmp_path / "one", prometheus="here:1")
    assert "url: http://here:1/api/v1/write" in (tmp_path / "one" / "prometheus" / "edge-agent.yml").read_text()
    export(tmp_path / "two", prometheus="mimir:80/prometheus", remote_write="http://mimir:80/api/v1/push")
    assert "url: http://mimir:80/api/v1/push" in (tmp_path / "two" / "prometheus" / "edge-agent.yml").read_text()
    datasource = (tmp_path / "two" / "grafana" / "provisioning" / "datasources" / "sedna.yml").read_text()
    assert "url: http://mimir:80/prometheus" in datasource


def test_an_address_may_contain_the_default_of_another_server(tmp_path):
    plain = {server: f"new-{server}" for server in ADDRESSES}
    export(tmp_path / "plain", **plain)
    nested = {server: f"proxy:80/{server}/" + ",".join(ADDRESSES.values()) for server in ADDRESSES}
    export(tmp_path / "nested", **nested)
    expected = written(tmp_path / "plain")
    for server in ADDRESSES:
        expected = {name: text.replace(plain[server], nested[server]) for name, text in expected.items()}
    assert written(tmp_path / "nested") == expected


def test_the_prometheus_in_the_cloud_writes_to_a_receiver_beyond_it_where_there_is_one(tmp_path):
    export(tmp_path / "one")
    export(tmp_path / "two", remote_write="http://mimir:80/api/v1/push")
    receiver = [{"url": "http://mimir:80/api/v1/push"}]
    for name in ("prometheus", "standalone"):
        one, two = (
            yaml.safe_load((tmp_path / folder / "prometheus" / f"{name}.yml").read_text()) for folder in ("one", "two")
        )
        assert two == {**one, "remote_write": receiver}
    standalone = tmp_path / "two" / "prometheus" / "standalone.yml"  # Debian's promtool does not know Kubernetes
    assert subprocess.run([program("promtool"), "check", "config", str(standalone)]).returncode == 0
    chart = yaml.safe_load((tmp_path / "two" / "helm" / "kube-prometheus-stack.yml").read_text())
    assert chart["prometheus"]["prometheusSpec"]["remoteWrite"] == receiver


def test_files_that_are_foreign_or_were_edited_are_left_alone_unless_forced(tmp_path):
    (tmp_path / "prometheus").mkdir()
    (tmp_path / "prometheus" / "rules.yml").write_text("groups: []\n")
    with pytest.raises(FileExistsError, match=r"rules\.yml"):
        export(tmp_path)
    assert list(written(tmp_path)) == ["prometheus/rules.yml"]
    assert main(["stack", "export", str(tmp_path)]) == 1
    export(tmp_path, force=True)
    assert written(tmp_path) == written(SHIPPED)
    (tmp_path / "loki" / "promtail.yml").write_text("mine\n")
    with pytest.raises(FileExistsError, match=r"promtail\.yml"):
        export(tmp_path)


@pytest.mark.parametrize("name", ["prometheus/rules.yml", ".sedna-metrics.json"])
def test_nothing_is_written_through_a_link(tmp_path, name):
    target, folder = tmp_path / "elsewhere", tmp_path / "stack"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).symlink_to(target)  # a dangling one, so that it does not seem to exist
    if name.endswith(".yml"):
        with pytest.raises(FileExistsError, match=r"rules\.yml"):
            export(folder)
    export(folder, force=True)
    assert not target.exists()
    assert (folder / name).is_file()
    assert not (folder / name).is_symlink()


def test_a_file_in_the_way_of_a_folder_is_an_error_of_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["stack", "export", str(tmp_path / "file")]) == 1
    assert "file" in capsys.readouterr().err
