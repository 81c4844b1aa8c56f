"""Checks kubectl's cluster: can the exported stack be applied there, and will it work?"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Iterator

from sedna_metrics.stack._check import Finding

_MADE = ("namespaces", "clusterroles", "clusterrolebindings")
_MADE_IN_NAMESPACE = ("serviceaccounts", "configmaps", "services", "deployments", "statefulsets", "daemonsets")
_NO_POLICIES = (
    "no MutatingAdmissionPolicy (Kubernetes 1.34 with its feature gate), so inject/policy.yml does not work: use "
    "sedna-metrics inject or inject/kyverno.yml"
)
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def check_cluster() -> Iterator[Finding]:
    """Check the cluster, without changing it."""
    if shutil.which("kubectl") is None:
        yield Finding("cluster", "kubectl is not on PATH")
        return
    done = _kubectl("get", "--raw", "/version")
    if done.returncode:
        yield Finding("cluster", f"kubectl does not reach it: {_last(done)}")
        return
    version = json.loads(done.stdout)["gitVersion"]
    policies = _kubectl("get", "--raw", "/apis/admissionregistration.k8s.io/v1beta1")
    has_policies = "mutatingadmissionpolicies" in policies.stdout
    yield Finding(f"Kubernetes {version}", note="" if has_policies else _NO_POLICIES)
    yield _sedna()
    yield _storage()
    yield _rights()


def _sedna() -> Finding:
    found = _kubectl("api-resources", "--api-group=sedna.io", "--output=name").stdout.split()
    missing = "" if found else "the cluster does not know Sedna's kinds: install Sedna first"
    return Finding("Sedna", missing, f"{len(found)} kinds")


def _storage() -> Finding:
    done = _kubectl("get", "storageclasses", "--output=json")
    if done.returncode:
        return Finding("StorageClass", note=f"not checked: {_last(done)}")
    items = json.loads(done.stdout)["items"]
    if any(each["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true" for each in items):
        return Finding("StorageClass")
    return Finding(
        "StorageClass",
        "there is no default one, so Prometheus and Loki would stay Pending: name one in volumeClaimTemplates, or for "
        'a trial without disks uncomment "components: [trial]" in kustomization.yml',
    )


def _rights() -> Finding:
    refused = [each for each in _MADE if not _may(each)]
    refused += [each for each in _MADE_IN_NAMESPACE if not _may(each, "--namespace=monitoring")]
    said = f"you may not create {', '.join(refused)}: apply it as a cluster administrator" if refused else ""
    return Finding("rights", said)


def _may(kind: str, *more: str) -> bool:
    return _kubectl("auth", "can-i", "create", kind, *more).stdout.strip() == "yes"


def _kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["kubectl", *arguments, "--request-timeout=10s"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")


def _last(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip().splitlines() or ["no answer"])[-1]
