"""The admission policy that does in the cluster what ``sedna-metrics inject`` does in a file."""

from __future__ import annotations

import json
from typing import Any, Dict, List

from sedna_metrics.inject import CONFIG_MAP, OPT_OUT, Item, additions
from stackgen._yaml import dump_all

_NAME = "sedna-metrics"
OPT_OUT_LABEL = "sedna-metrics/inject"

_JOB, _NODE, _POD = additions(True, False), additions(False, True), additions(False, False)
_SERVICE_ENV = {"name": "JOB_NAME", "value": ""}


def _typed(type_: str, value: Any) -> str:
    """The value as CEL has it."""
    if isinstance(value, dict):
        fields = (f"{key}: {_typed(f'{type_}.{key}', inner)}" for key, inner in value.items())
        return f"{type_}{{{', '.join(fields)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_typed(type_, each) for each in value)}]"
    return json.dumps(value)


def _list(type_: str, items: List[Item]) -> str:
    return "[" + ",\n".join(_typed(type_, item) for item in items) + "]"


def _more(of: List[Item], base: List[Item]) -> List[Item]:
    return [item for item in of if item not in base]


def _patches(path: str, present: str, items: str, key: str) -> str:
    """JSON patches that append what is not there yet. (An apply configuration may not set fieldRef, nor items.)"""
    return (
        f'(has({present}) ? [] : [JSONPatch{{op: "add", path: "{path}", value: []}}])\n'
        f"+ ({items})\n"
        f".filter(e, !has({present}) || !{present}.exists(own, {key}))\n"
        f'.map(e, JSONPatch{{op: "add", path: "{path}/-", value: e}})'
    )


def _expression() -> str:
    container, first = "Object.spec.containers", "object.spec.containers[0]"
    is_node_service = "!variables.isJob && variables.isOnNodeNetwork"
    env = (
        f"{_list(f'{container}.env', [item for item in _JOB.env if item in _NODE.env])}\n"
        f"+ (variables.service == '' ? [] : [{container}.env{{name: \"JOB_NAME\", value: variables.service}}])\n"
        f"+ (variables.isJob ? {_list(f'{container}.env', _more(_JOB.env, _NODE.env))}\n"
        f"  : variables.isOnNodeNetwork ? {_list(f'{container}.env', _more(_NODE.env, _JOB.env))}\n"
        f"  : {_list(f'{container}.env', _more(_POD.env, _JOB.env))})"
    )
    volumes, mounts = (
        f"{_list(type_, job)}\n+ ({is_node_service} ? {_list(type_, _more(node, job))} : [])"
        for type_, job, node in (
            ("Object.spec.volumes", _JOB.volumes, _NODE.volumes),
            (f"{container}.volumeMounts", _JOB.mounts, _NODE.mounts),
        )
    )
    ports = f"variables.isJob || variables.isOnNodeNetwork ? [] : {_list(f'{container}.ports', _POD.ports)}"
    same, same_port = "own.name == e.name", "has(own.name) && own.name == e.name"
    return "\n+ ".join(
        _patches(*each)
        for each in (
            ("/spec/volumes", "object.spec.volumes", volumes, same),
            ("/spec/containers/0/env", f"{first}.env", env, same),
            ("/spec/containers/0/volumeMounts", f"{first}.volumeMounts", mounts, same),
            ("/spec/containers/0/ports", f"{first}.ports", ports, same_port),
        )
    )


_POLICY: Dict[str, Any] = {
    "apiVersion": "admissionregistration.k8s.io/v1beta1",
    "kind": "MutatingAdmissionPolicy",
    "metadata": {"name": _NAME},
    "spec": {
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "Never",
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
        },
        "matchConditions": [
            {
                "name": "sedna-worker",
                "expression": "has(object.metadata.labels) "
                "&& object.metadata.labels.exists(key, key.endsWith('.sedna.io/name'))",
            },
            {
                "name": "not-opted-out",
                "expression": "!object.spec.containers.exists(c, has(c.env) && c.env.exists(e, "
                f"e.name == '{OPT_OUT}' && has(e.value) && e.value == 'off'))",
            },
        ],
        "variables": [
            {"name": "isJob", "expression": "has(object.spec.restartPolicy) && object.spec.restartPolicy != 'Always'"},
            {"name": "isOnNodeNetwork", "expression": "has(object.spec.hostNetwork) && object.spec.hostNetwork"},
            {
                "name": "service",
                "expression": "'jointinferenceservice.sedna.io/name' in object.metadata.labels "
                "? object.metadata.labels['jointinferenceservice.sedna.io/name'] : ''",
            },
        ],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": _expression()}}],
    },
}
_BINDING = {
    "apiVersion": "admissionregistration.k8s.io/v1beta1",
    "kind": "MutatingAdmissionPolicyBinding",
    "metadata": {"name": _NAME},
    "spec": {
        "policyName": _NAME,
        "matchResources": {
            "namespaceSelector": {
                "matchExpressions": [{"key": OPT_OUT_LABEL, "operator": "NotIn", "values": ["disabled"]}]
            }
        },
    },
}
_COMMENT = (
    f"Adds the ConfigMap {CONFIG_MAP!r} to the pods of Sedna's workers. Needs Kubernetes 1.34 with the feature gate "
    f"MutatingAdmissionPolicy. Namespaces with the label {OPT_OUT_LABEL}=disabled are left alone."
)

FILES: Dict[str, str] = {"inject/policy.yml": dump_all([_POLICY, _BINDING], _COMMENT)}
