"""Manifests, Helm values and compose file: valid as they stand, and of one mind with each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from ipaddress import ip_address, ip_network

import pytest
import requests
import yaml
from stackgen.kube_state_metrics import POD_LABELS, RULES
from support import Server, free_port, program

from sedna_metrics.stack import export
from sedna_metrics.stack._export import FILES

KUBERNETES = "1.31"
IMAGE = re.compile(r"image: (\S+):(\S+)")


@pytest.fixture
def folder(tmp_path):
    export(tmp_path / "stack")
    return tmp_path / "stack"


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def kustomized(folder):
    """What kubectl would apply."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not on PATH")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("path", sorted(FILES.glob("kubernetes/*.yml")) + [FILES / "kube-state-metrics" / "rbac.yml"])
def test_a_manifest_is_valid_by_kubernetes_own_schema(path):
    validate = pytest.importorskip("kubernetes_validate").validate
    for document in documents(path):
        validate(document, KUBERNETES, strict=True)


def test_kustomize_puts_all_together(folder):
    made = kustomized(folder)
    kinds = [document["kind"] for document in made]
    assert kinds.count("ConfigMap") == 7 + 8
    assert {"Deployment", "StatefulSet", "DaemonSet", "ClusterRole", "ServiceAccount"} <= set(kinds)
    dashboards = [each for each in made if each["metadata"]["name"].startswith("grafana-dashboard-")]
    boards = {name for each in dashboards for name in each["data"]}
    assert boards == {path.name for path in FILES.glob("grafana/dashboards/*.json")}
    # kubectl keeps a copy of what it applies in an annotation, which may have so many bytes.
    assert max(len(json.dumps(each)) for each in made) < 262_144
    # Each volume's ConfigMap is one of those that are made.
    names = {each["metadata"]["name"] for each in made if each["kind"] == "ConfigMap"}
    mounted = set(re.findall(r"'configMap': \{'name': '([^']+)'", str(made)))
    assert mounted == names


def pods():
    """The pod templates of all manifests, by name."""
    made = [each for path in sorted(FILES.glob("kubernetes/*.yml")) for each in documents(path)]
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in made
        if "template" in each.get("spec", {})
    }


def test_servers_stay_off_edge_nodes_and_the_edge_agent_tolerates_their_taint():
    for name, pod in pods().items():
        if pod.get("nodeSelector") == {"node-role.kubernetes.io/edge": ""}:
            (toleration,) = pod["tolerations"]
            assert toleration == {"key": "node-role.kubernetes.io/edge", "operator": "Exists", "effect": "NoSchedule"}
        elif name != "alloy":  # it reads the logs of every node
            required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            (term,) = required["nodeSelectorTerms"]
            assert term["matchExpressions"] == [{"key": "node-role.kubernetes.io/edge", "operator": "DoesNotExist"}]


def test_only_what_asks_the_api_server_gets_a_token():
    with_token = {name for name, pod in pods().items() if pod.get("automountServiceAccountToken") is not False}
    assert with_token == {"prometheus", "kube-state-metrics"}


def test_what_containers_may_write_is_mounted():
    for name, pod in pods().items():
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert context.get("readOnlyRootFilesystem") or name == "alloy", name
        volumes = {each["name"] for each in pod["volumes"]}
        mounts = {each["name"] for each in container["volumeMounts"]}
        assert mounts - volumes <= {"data"}, f"{name}: only a claim's volume is missing"


NODES = "192.0.2.7"


def may_reach(source, target):
    """Whether the NetworkPolicies let a pod (its labels and namespace), or a node's address, reach a server's port."""
    policies = [
        each["spec"]
        for each in documents(FILES / "kubernetes" / "network-policies.yml")
        if each["spec"]["podSelector"].get("matchLabels", {"app": target}) == {"app": target}
    ]
    assert policies, f"{target} is open to all"
    for rule in (rule for policy in policies for rule in policy.get("ingress", [])):
        assert rule["ports"] == [{"port": "http"}]
        if "from" not in rule:
            return True
        for peer in rule["from"]:
            if "ipBlock" in peer:
                if isinstance(source, str) and ip_address(source) in ip_network(peer["ipBlock"]["cidr"]):
                    return True
            elif source == ("monitoring", peer["podSelector"]["matchLabels"]["app"]):
                return True
    return False


@pytest.mark.parametrize(
    ("target", "sources"),
    [
        ("prometheus", {("monitoring", "grafana"), NODES}),
        ("loki", {("monitoring", "grafana"), NODES}),
        ("kube-state-metrics", {("monitoring", "prometheus")}),
        ("pushgateway", {("monitoring", "prometheus"), ("monitoring", "grafana"), NODES, ("default", "worker")}),
        ("grafana", {("monitoring", "prometheus"), ("monitoring", "grafana"), NODES, ("default", "worker")}),
    ],
)
def test_a_server_is_reached_by_those_that_need_it(target, sources):
    known = [("monitoring", "prometheus"), ("monitoring", "grafana"), NODES, ("default", "worker")]
    assert {source for source in known if may_reach(source, target)} == sources


def test_every_server_has_a_network_policy():
    served = {name for name, pod in pods().items() if any("ports" in each for each in pod["containers"])}
    named = {each["metadata"]["name"] for each in documents(FILES / "kubernetes" / "network-policies.yml")}
    assert named - {"default-deny"} == served


def test_nobody_may_use_the_kubelets_proxy():
    text = "".join(path.read_text() for path in FILES.rglob("*.yml"))
    assert not re.search(r"resources: \[[^\]]*nodes/proxy", text)
    assert "/proxy/" not in text


@pytest.mark.parametrize(("manifest", "config"), [("prometheus", "prometheus.yml"), ("edge-agent", "edge-agent.yml")])
def test_prometheus_starts_with_exactly_its_exported_arguments(folder, tmp_path, manifest, config):
    (pod,) = (
        each["spec"]["template"]["spec"]
        for each in documents(FILES / f"kubernetes/{manifest}.yml")
        if "template" in each.get("spec", {})
    )
    arguments = pod["containers"][0]["args"]
    document = yaml.safe_load((folder / "prometheus" / config).read_text())
    # Debian's Prometheus is built without Kubernetes' discovery: its jobs are left out, all else is as exported.
    document["scrape_configs"] = [job for job in document["scrape_configs"] if "kubernetes_sd_configs" not in job]
    (folder / "prometheus" / config).write_text(yaml.safe_dump(document))
    places = {"/etc/prometheus": str(folder / "prometheus"), "/prometheus": str(tmp_path / "data")}
    places["/var/lib/sedna-metrics/agent"] = str(tmp_path / "agent")
    here = [
        next((each.replace(f"={old}", f"={new}") for old, new in places.items() if f"={old}" in each), each)
        for each in arguments
    ]
    here = [
        each.replace("--agent", "--enable-feature=agent") if each == "--agent" else each for each in here
    ]  # Prometheus 2
    port = free_port()
    here = [each for each in here if "listen-address" not in each] + [f"--web.listen-address=127.0.0.1:{port}"]
    with Server([program("prometheus"), *here], port, tmp_path / "log"):
        assert requests.get(f"http://127.0.0.1:{port}/-/ready", timeout=5).ok


def test_the_operators_folder_is_a_kustomization_of_its_own(folder):
    assert {each["kind"] for each in kustomized(folder / "prometheus-operator")} == {
        "PodMonitor",
        "ScrapeConfig",
        "PrometheusRule",
    }


def test_the_compose_file_is_one(compose_go, folder, monkeypatch):
    monkeypatch.chdir(folder / "compose")
    done = subprocess.run([compose_go, "compose.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    for name, service in services.items():
        assert ("image" in service) != ("build" in service), name
        for volume in service.get("volumes", []):
            source = volume["source"]
            assert volume["type"] == "volume" or source.startswith("/var/run") or (folder / source).exists(), source
    (folder / "compose" / "compose.yml").write_text("services: {a: {imag: x}}")
    assert subprocess.run([compose_go, "compose.yml"], capture_output=True).returncode != 0


def test_the_same_version_of_a_server_stands_everywhere():
    found = {}
    for path in FILES.rglob("*.yml"):
        for image, version in IMAGE.findall(path.read_text(encoding="utf-8")):
            found.setdefault(image, set()).add(version)
    assert len(found) >= 6
    assert {image: versions for image, versions in found.items() if len(versions) > 1 or "latest" in versions} == {}


def test_kube_state_metrics_is_started_as_the_tests_start_it():
    text = (FILES / "kubernetes" / "kube-state-metrics.yml").read_text()
    assert f"--metric-labels-allowlist=pods=[{POD_LABELS}]" in text
    values = yaml.safe_load((FILES / "helm" / "kube-state-metrics.yml").read_text())
    config = yaml.safe_load((FILES / "kube-state-metrics" / "custom-resource-state.yml").read_text())
    assert values["customResourceState"] == {"enabled": True, "config": config}
    assert values["rbac"]["extraRules"] == RULES
    assert values["metricLabelsAllowlist"] == [f"pods=[{POD_LABELS}]"]


def test_the_operators_rules_and_relabelling_are_prometheus_own():
    rules = yaml.safe_load((FILES / "prometheus" / "rules.yml").read_text())
    assert yaml.safe_load((FILES / "prometheus-operator" / "prometheusrule.yml").read_text())["spec"] == rules
    jobs = yaml.safe_load((FILES / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    relabelling = next(job for job in jobs if job["job_name"] == "sedna-workers")["relabel_configs"]
    monitor = yaml.safe_load((FILES / "prometheus-operator" / "podmonitor.yml").read_text())
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    spelled = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
    expected = [{spelled.get(key, key): value for key, value in rule.items()} for rule in relabelling[1:]]
    assert endpoint["relabelings"] == [*expected, {"targetLabel": "job", "replacement": "sedna-workers"}]
    assert relabelling[0] == {
        "source_labels": ["__meta_kubernetes_pod_container_port_name"],
        "regex": endpoint["port"],
        "action": "keep",
    }
