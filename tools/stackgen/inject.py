"""The policies that do in the cluster what ``sedna-metrics inject`` does in a file: Kubernetes' own, and Kyverno's."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Tuple

from sedna_metrics.inject import CONFIG_MAP, OPT_OUT, PORT, Item, additions
from stackgen._yaml import dump_all

_NAME = "sedna-metrics"
OPT_OUT_LABEL = "sedna-metrics/inject"

_JOB, _NODE, _POD = additions(True, False), additions(False, True), additions(False, False)
_PORT_VARIABLE = "SEDNA_METRICS_PORT"


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
    job, node = _JOB["env"], _NODE["env"]
    of_all = [item for item in job if item in node]
    env = (
        f"{_list(f'{container}.env', of_all)}\n"
        f"+ (variables.service == '' ? [] : [{container}.env{{name: \"JOB_NAME\", value: variables.service}}])\n"
        f"+ (variables.isJob ? {_list(f'{container}.env', _more(job, node))}\n"
        f"  : variables.isOnNodeNetwork ? {_list(f'{container}.env', _more(node, job))}\n"
        f"  : [{container}.env{{name: {json.dumps(_PORT_VARIABLE)}, value: string(variables.port)}}])"
    )
    volumes, mounts = (
        f"{_list(type_, _JOB[key])}\n+ ({is_node_service} ? {_list(type_, _more(_NODE[key], _JOB[key]))} : [])"
        for key, type_ in (("volumes", "Object.spec.volumes"), ("volumeMounts", f"{container}.volumeMounts"))
    )
    ports = (
        "variables.isJob || variables.isOnNodeNetwork || variables.port == 0 ? [] "
        f': [{container}.ports{{name: "metrics", containerPort: variables.port}}]'
    )
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


def _port() -> str:
    """As ``inject`` finds it: what the container sets, else ours; 0 if it is unknown."""
    first = "object.spec.containers[0]"
    return (
        f"((has({first}.env) ? {first}.env.filter(e, e.name == '{_PORT_VARIABLE}') : [])\n"
        f".map(e, has(e.value) && e.value.matches('^[0-9]{{1,5}}(-|$)') ? int(e.value.split('-')[0]) : 0)\n"
        f"+ [{PORT}])[0]"
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
            {"name": "port", "expression": _port()},
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

# The same for Kyverno, for clusters older than 1.34.

_POD_SPEC = "request.object.spec"
_SERVICE_LABEL = 'request.object.metadata.labels."jointinferenceservice.sedna.io/name"'


def _condition(key: str, operator: str, value: Any) -> Dict[str, Any]:
    return {"key": key, "operator": operator, "value": value}


_WHEN: Dict[str, List[Dict[str, Any]]] = {
    "job": [_condition(f"{{{{ {_POD_SPEC}.restartPolicy || 'Always' }}}}", "NotEquals", "Always")],
    "service": [_condition(f"{{{{ {_POD_SPEC}.restartPolicy || 'Always' }}}}", "Equals", "Always")],
    "node": [_condition(f"{{{{ {_POD_SPEC}.hostNetwork || `false` }}}}", "Equals", True)],
    "pod": [_condition(f"{{{{ {_POD_SPEC}.hostNetwork || `false` }}}}", "Equals", False)],
    "joint inference": [_condition(f"{{{{ {_SERVICE_LABEL} || '' }}}}", "NotEquals", "")],
}


_OWN_PORT = f"element.env[?name=='{_PORT_VARIABLE}'].[value || '0'][] | [0] || '{PORT}'"
_HAS_PORT = _condition(f"{{{{ to_number(split({_OWN_PORT}, '-')[0]) || `0` }}}}", "GreaterThan", 0)


def _with_own_port(item: Item) -> Item:
    """The port follows the container's variable."""
    if item["name"] == "metrics":
        return {**item, "containerPort": f"{{{{ to_number(split({_OWN_PORT}, '-')[0]) }}}}"}
    return item


def _items() -> Iterator[Tuple[str, Item, List[Dict[str, Any]]]]:
    """Each addition: its key in the pod or container, and the roles that get it."""
    node, pod = [*_WHEN["service"], *_WHEN["node"]], [*_WHEN["service"], *_WHEN["pod"]]
    for key in _JOB:
        job_items, node_items, pod_items = _JOB[key], _NODE[key], _POD[key]
        for item in job_items:
            yield key, item, [] if item in node_items else _WHEN["job"]
        for items, role in ((node_items, node), (pod_items, pod)):
            for item in _more(items, job_items):
                yield key, _with_own_port(item), [*role, _HAS_PORT] if key == "ports" else role
    yield "env", {"name": "JOB_NAME", "value": f"{{{{ {_SERVICE_LABEL} }}}}"}, _WHEN["joint inference"]


def _foreach(key: str, item: Item, role: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Add the item to the worker, unless there is one of that name."""
    if key == "volumes":
        present, patch = f"{_POD_SPEC}.volumes", {"volumes": [item]}
    else:
        present, patch = f"element.{key}", {"containers": [{"name": "{{ element.name }}", key: [item]}]}
    return {
        "list": f"{_POD_SPEC}.containers[:1]",
        "preconditions": {"all": [*role, _condition(item["name"], "AnyNotIn", f"{{{{ {present}[].name || `[]` }}}}")]},
        "patchStrategicMerge": {"spec": patch},
    }


_LABELS = "keys(request.object.metadata.labels || `{}`)"
_OPTED_OUT = f"{_POD_SPEC}.containers[].env[?name=='{OPT_OUT}' && value=='off'][]"
_KYVERNO: Dict[str, Any] = {
    "apiVersion": "kyverno.io/v1",
    "kind": "ClusterPolicy",
    "metadata": {"name": _NAME},
    "spec": {
        "failurePolicy": "Ignore",
        "background": False,
        "rules": [
            {
                "name": "observe-sedna-workers",
                "match": {"any": [{"resources": {"kinds": ["Pod"], "operations": ["CREATE"]}}]},
                "exclude": {
                    "any": [{"resources": {"namespaceSelector": {"matchLabels": {OPT_OUT_LABEL: "disabled"}}}}]
                },
                "preconditions": {
                    "all": [
                        _condition(
                            f"{{{{ {_LABELS}[?ends_with(@, '.sedna.io/name')] | length(@) }}}}", "GreaterThan", 0
                        ),
                        _condition(f"{{{{ {_OPTED_OUT} | length(@) }}}}", "Equals", 0),
                    ]
                },
                "mutate": {"foreach": [_foreach(*each) for each in _items()]},
            }
        ],
    },
}
_KYVERNO_COMMENT = "The same as policy.yml, for Kyverno on a Kubernetes older than 1.34."

FILES: Dict[str, str] = {
    "inject/policy.yml": dump_all([_POLICY, _BINDING], _COMMENT),
    "inject/kyverno.yml": dump_all([_KYVERNO], _KYVERNO_COMMENT),
}
