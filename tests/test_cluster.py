"""The exported configuration on a real API server: accepted, its rights, and the admission policy."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import controlplane
import global_manager
import pytest
import yaml
from pods import without_order

from sedna_metrics import inject
from sedna_metrics.cli import main
from sedna_metrics.stack import check_cluster

pytestmark = [pytest.mark.skipif(bool(controlplane.missing()), reason="make test-cluster builds a control plane")]


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    assert main(["stack", "export", str(folder / "stack")]) == 0
    with controlplane.running(folder) as running:
        running.stack = folder / "stack"
        yield running


@pytest.fixture(scope="module")
def applied(plane):
    plane.kubectl("apply", "--validate=strict", "-k", str(plane.stack))
    return plane


@pytest.fixture(scope="module")
def policy(plane):
    plane.apply_policy(plane.stack / "inject" / "policy.yml")
    return plane


def worker(name: str, kind: str, task: str, **spec: Any) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {f"{kind}.sedna.io/name": task}},
        "spec": {"containers": [{"name": "w", "image": "x"}], **spec},
    }


def test_a_strangers_first_apply_works_and_a_second_changes_nothing(applied):
    before = generations(applied)
    again = applied.kubectl("apply", "--validate=strict", "-k", str(applied.stack))
    # kubectl says "configured" of claim templates whatever they are: the API server adds a status to them.
    changed = [line for line in again.splitlines() if not line.endswith("unchanged")]
    assert all(line.startswith("statefulset.apps/") for line in changed), changed
    assert generations(applied) == before


def test_the_trial_has_no_disks(applied, tmp_path):
    assert main(["stack", "export", str(tmp_path)]) == 0
    kustomization = tmp_path / "kustomization.yml"
    kustomization.write_text(kustomization.read_text().replace("# components: [trial]", "components: [trial]"))
    applied.kubectl("delete", "statefulsets", "--all", "--namespace", "monitoring")  # claims cannot be changed
    applied.kubectl("apply", "--validate=strict", "-k", str(tmp_path))
    for each in applied.get("statefulsets", "--namespace", "monitoring")["items"]:
        assert "volumeClaimTemplates" not in each["spec"]
        assert {"name": "data", "emptyDir": {}} in each["spec"]["template"]["spec"]["volumes"]


def test_what_a_cluster_lacks_is_said(plane, monkeypatch, tmp_path):
    def said(token):
        config = plane.config(tmp_path / token, token)
        monkeypatch.setenv("KUBECONFIG", str(config))
        return {finding.subject.split()[0]: finding for finding in check_cluster()}

    monkeypatch.setenv("PATH", str(controlplane.CACHE), prepend=":")
    found = said("admin")
    assert "components: [trial]" in found["StorageClass"].problem
    assert "install Sedna first" in found["Sedna"].problem
    assert found["rights"].problem == found["Kubernetes"].note == found["Kubernetes"].problem == ""
    storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "x", "metadata": {"name": "x"}}
    storage["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    plane.kubectl("apply", "-f", "-", text=json.dumps(storage))
    definition = json.dumps(global_manager.definition("FederatedLearningJob"))
    plane.kubectl("apply", "-f", "-", text=definition)
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    assert not any(finding.problem for finding in said("admin").values())
    assert "create namespaces, clusterroles" in said("nobody")["rights"].problem
    plane.kubectl("delete", "-f", "-", text=definition)
    assert "Unauthorized" in said("stranger")["cluster"].problem


@pytest.mark.parametrize(("version", "gate"), [("1.31.0", ""), ("1.34.4", ""), ("1.34.4", "mutatingadmissionpolicies")])
def test_an_api_without_admission_policies_is_said(version, gate, monkeypatch, tmp_path):
    kubectl = tmp_path / "kubectl"
    answer = json.dumps({"gitVersion": f"v{version}"})
    cases = f"/version) echo '{answer}';; /apis*) echo '{gate}';; *) exit 1;;"
    kubectl.write_text(f"#!/bin/sh\ncase $3 in {cases} esac\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    finding = next(check_cluster())
    assert finding.subject == f"Kubernetes v{version}"
    assert ("use sedna-metrics inject" in finding.note) == (not gate)


def generations(plane):
    found = plane.get("deployments,statefulsets,daemonsets", "--all-namespaces")["items"]
    return {(each["kind"], each["metadata"]["name"]): each["metadata"]["generation"] for each in found}


@pytest.mark.parametrize(
    ("account", "verb", "group", "resource", "is_allowed"),
    [
        ("prometheus", "list", "", "pods", True),
        ("prometheus", "get", "", "nodes/metrics", True),
        ("prometheus", "get", "", "nodes/proxy", False),
        ("prometheus", "get", "", "secrets", False),
        ("kube-state-metrics", "list", "sedna.io", "federatedlearningjobs", True),
        ("kube-state-metrics", "list", "apiextensions.k8s.io", "customresourcedefinitions", True),
        ("kube-state-metrics", "get", "", "secrets", False),
        ("default", "list", "", "pods", False),
    ],
)
def test_what_the_service_accounts_may_do(applied, account, verb, group, resource, is_allowed):
    name, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": name, "subresource": subresource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:monitoring:{account}", "resourceAttributes": attributes},
    }
    answer = json.loads(applied.kubectl("create", "-f", "-", "-o", "json", text=json.dumps(review)))
    assert answer["status"]["allowed"] == is_allowed


@pytest.mark.parametrize(
    "spec",
    [
        {"restartPolicy": "Always"},
        {"restartPolicy": "OnFailure"},
        {"restartPolicy": "Always", "hostNetwork": True},
        {"restartPolicy": "OnFailure", "hostNetwork": True},
    ],
    ids=["service", "job", "service on the node's network", "job on the node's network"],
)
@pytest.mark.parametrize("kind", ["jointinferenceservice", "incrementallearningjob"])
def test_the_policy_and_the_command_give_the_same_pod(policy, kind, spec):
    own = [
        {"name": "NODE_NAME", "value": "mine"},
        {"name": "JOB_NAME", "value": "mine"} if kind == "incrementallearningjob" else {"name": "A", "value": "b"},
    ]
    name = f"{kind}-{len(spec)}-{spec['restartPolicy'].lower()}"
    pod = worker(name, kind, "helmet", **spec, volumes=[{"name": "mine", "emptyDir": {}}])
    pod["spec"]["containers"][0].update(env=own, volumeMounts=[{"name": "mine", "mountPath": "/mine"}])
    assert_as_the_command(policy, pod, "JointInferenceService" if kind == "jointinferenceservice" else "")


def port_pods():
    """A container's own SEDNA_METRICS_PORT and port ``metrics``."""
    metrics = [{"name": "metrics", "containerPort": 8000}]
    config_map = {"valueFrom": {"configMapKeyRef": {"name": "x", "key": "port"}}}
    for variable in (None, {"value": "9471"}, {"value": "9471-9480"}, {"value": "0"}, {}, config_map):
        for ports in ([], metrics, [{"containerPort": 80}]):
            yield [] if variable is None else [{"name": "SEDNA_METRICS_PORT", **variable}], ports


@pytest.mark.parametrize(("env", "ports"), list(port_pods()))
def test_the_policy_and_the_command_give_a_service_the_same_port(policy, request, env, ports):
    name = re.sub("[^a-z0-9]+", "-", f"port-{request.node.callspec.id}".lower())
    pod = worker(name, "featureextractionservice", "reid")
    pod["spec"]["containers"][0].update(env=env, ports=ports)
    assert_as_the_command(policy, pod)


def assert_as_the_command(policy, pod, kind=""):
    """On the client the kind of resource tells the service's name."""
    wanted = {"kind": kind, "metadata": {"name": "helmet"}, "spec": {"w": {"spec": copy.deepcopy(pod["spec"])}}}
    assert inject.inject(wanted)
    assert without_order(policy.create(pod)["spec"]) == without_order(wanted["spec"]["w"]["spec"])


def test_other_pods_and_those_that_opt_out_are_left_alone(policy):
    other = worker("other", "x", "helmet")
    other["metadata"]["labels"] = {"app": "web"}
    out = worker("out", "jointinferenceservice", "helmet")
    out["spec"]["containers"][0]["env"] = [{"name": "SEDNA_METRICS_EXPORT", "value": "off"}]
    policy.kubectl("create", "namespace", "quiet")
    policy.kubectl("label", "namespace", "quiet", "sedna-metrics/inject=disabled")
    quiet = worker("quiet", "jointinferenceservice", "helmet")
    quiet["metadata"]["namespace"] = "quiet"
    for pod in (other, out, quiet):
        assert "volumes" not in policy.create(pod)["spec"], pod["metadata"]["name"]


def test_a_config_map_of_the_bundles_size_is_accepted(plane):
    data = {"bundle.zip": "A" * 1_200_000}  # 900 kB as base64
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "binaryData": data}
    plane.kubectl("apply", "--server-side", "-f", "-", text=yaml.safe_dump(config_map))


def test_only_the_nodes_agents_ask_for_more_than_a_restricted_pod(applied):
    """They need the node's network and folders, and read files that belong to root."""
    applied.kubectl("label", "namespace", "monitoring", "pod-security.kubernetes.io/warn=restricted", "--overwrite")
    asked = {}
    for each in applied.get("deployments,statefulsets,daemonsets", "--namespace", "monitoring")["items"]:
        pod = {"apiVersion": "v1", "kind": "Pod", **each["spec"]["template"]}
        pod["metadata"] = {"name": each["metadata"]["name"], "namespace": "monitoring"}
        claims = [claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])]
        pod["spec"]["volumes"] += [{"name": name, "emptyDir": {}} for name in claims]
        said = applied.try_kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(pod))
        assert said.returncode == 0, said.stderr
        asked[each["metadata"]["name"]] = said.stderr
    assert {name for name, said in asked.items() if "PodSecurity" in said} == {"alloy", "sedna-edge-agent"}
    for name in ("alloy", "sedna-edge-agent"):
        for hardened in ("allowPrivilegeEscalation", "capabilities", "seccompProfile"):
            assert hardened not in asked[name]
