"""What a real API server's policy makes of Sedna's pods, started as processes: they are observed.

The image is imitated: Sedna at /home/lib on PYTHONPATH, no sedna-metrics, a read-only file system. Sedna is the tests'
stand-in, or the real one if SEDNA_LIB and SEDNA_PACKAGES (a folder with its dependencies) name it; OLD_PYTHON names an
interpreter for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import controlplane
import oldwheel
import pytest
import pythons
import servers
import yaml
from pods import config_map_files, write_files

from sedna_metrics.cli import main

HERE = Path(__file__).parent
CAN_UNSHARE = os.getuid() == 0 and shutil.which("unshare") and shutil.which("ip")
LIB = os.environ.get("SEDNA_LIB") or str(HERE / "sedna_standin")

pytestmark = [
    pytest.mark.skipif(bool(controlplane.missing()), reason="make test-cluster builds a control plane"),
    pytest.mark.skipif(not CAN_UNSHARE, reason="a process with the mounts of a pod needs root, unshare and ip"),
]

ESTIMATOR = """
class Estimator:
    def load(self, model_url=None, **kwargs): pass
    def save(self, model_url=None): return model_url
    def train(self, train_data, valid_data=None, **kwargs): return {"loss": 0.25}
    def predict(self, data, **kwargs): return data
"""
IL = "from sedna.core.incremental_learning.incremental_learning import IncrementalLearning\n"
JI = "from sedna.core.joint_inference.joint_inference import JointInference\n"
WAIT = "import time; time.sleep(60)"
#: Kind, type, what Global Manager sets (pkg/globalmanager/controllers), the script, and what must be shown.
WORKERS = {
    "service": (
        "jointinferenceservice", "edge",
        {"SERVICE_NAME": "helmet", "WORKER_NAME": "edgeworker-x", "MODEL_URL": "/home/models"},
        {"restartPolicy": "Always"},
        JI + ESTIMATOR + "job = JointInference(Estimator())\nfor _ in range(3): job.inference([1])\n" + WAIT,
        'sedna_inferences_total{location="edge",task="helmet",worker="edgeworker-x"} 3.0',
    ),
    "service on the node's network": (
        "incrementallearningjob", "inference",
        {"JOB_NAME": "helmet", "WORKER_NAME": "inferworker-x", "MODEL_URL": "/home/models"},
        {"restartPolicy": "Always", "hostNetwork": True},
        IL + ESTIMATOR + "job = IncrementalLearning(Estimator())\nfor _ in range(3): job.inference([1])\n" + WAIT,
        'sedna_inferences_total{location="edge",task="helmet",worker="inferworker-x"} 3.0',
    ),
    "job": (
        "incrementallearningjob", "train",
        {"JOB_NAME": "helmet", "WORKER_NAME": "train-worker-x", "MODEL_URL": "/home/models/train/2"},
        {"restartPolicy": "OnFailure", "hostNetwork": True},
        IL + ESTIMATOR + "IncrementalLearning(Estimator()).train([1, 2, 3])\n",
        "sedna_training_loss{",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    assert main(["stack", "export", str(folder / "stack")]) == 0
    with controlplane.running(folder) as running:
        running.apply_policy(folder / "stack" / "inject" / "policy.yml")
        yield running


@pytest.fixture(scope="module")
def config_map(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    oldwheel.build(folder)
    assert main(["bundle", str(folder / "map.yaml"), "--wheels", str(folder)]) == 0
    return yaml.safe_load((folder / "map.yaml").read_text())


def pod(name, kind, worker_type, env, **spec):
    """As Global Manager makes it; the image's entry point is not in it."""
    variables = [{"name": key, "value": value} for key, value in {"NAMESPACE": "default", **env}.items()]
    labels = {f"{kind}.sedna.io/name": "helmet", f"{kind}.sedna.io/worker-type": worker_type}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": f"{name}-", "labels": labels},
        "spec": {"nodeName": "edge1", "containers": [{"name": "w", "image": "x", "env": variables}], **spec},
    }  # fmt: skip


def folder_of(volume, config_map, folder):
    """The volume's content, as the kubelet writes it."""
    folder.mkdir()
    if "configMap" in volume:
        write_files(config_map_files(config_map, volume["configMap"]["items"]), folder)
    return str(folder)


@pytest.mark.parametrize("version", ["3.7", "3.11"])
@pytest.mark.parametrize("role", WORKERS)
def test_an_unchanged_image_is_observed_in_the_pod_that_the_cluster_makes(plane, config_map, tmp_path, role, version):
    kind, worker_type, env, spec, script, shown = WORKERS[role]
    python = os.path.realpath(sys.executable) if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    python = os.environ.get("OLD_PYTHON") or pythons.find("3.7") if version == "3.7" else python
    if python is None:
        pytest.skip(f"no Python {version}")
    made = plane.create(pod("w", kind, worker_type, env, **spec))["spec"]
    (container,) = made["containers"]
    volumes = {each["name"]: each for each in made["volumes"]}
    mounts = {
        each["mountPath"]: [folder_of(volumes[each["name"]], config_map, tmp_path / each["name"]), each.get("readOnly")]
        for each in container["volumeMounts"]
        if not each["mountPath"].startswith("/var/run/secrets")
    }
    fields = {"spec.nodeName": "edge1", "status.podIP": "127.0.0.1"}
    given = {
        each["name"]: each["value"] if "value" in each else fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
        for each in container["env"]
    }
    image = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": "/home/lib",
        "BACKEND_TYPE": "PLAIN",
        "LC_SERVER": "http://127.0.0.1:1",
    }
    if os.environ.get("SEDNA_PACKAGES"):
        mounts["/home/packages"] = [os.environ["SEDNA_PACKAGES"], True]
        image["PYTHONPATH"] += ":/home/packages"
    models = tmp_path / "models"
    (models / "train").mkdir(parents=True)
    (models / "model_finetune_.pkl").write_text("weights")  # where Sedna looks for it
    description = {
        "mounts": {**mounts, "/home/lib": [LIB, True], "/home/models": [str(models), False]},
        "env": {**image, **given},
        "command": [python, "-c", script],
        "gateway": servers.find("prometheus-pushgateway"),
        "until": shown,
    }
    done = subprocess.run(
        ["unshare", "--mount", "--net", sys.executable, str(HERE / "container.py")],
        input=json.dumps(description), stdout=subprocess.PIPE, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert shown in found["metrics"], (found["status"], found["output"])
    if role == "job":
        assert found["status"] == 0, found["output"]
        (line,) = [line for line in found["metrics"].splitlines() if line.startswith(shown)]
        assert 'instance="edge1"' in line
        assert line.endswith(" 0.25")


def test_a_tenant_changes_only_its_own_pods(plane):
    """Who may do everything in one namespace can neither write another's ConfigMap nor the policy."""
    for name in ("one", "two"):
        plane.kubectl("create", "namespace", name)
    plane.kubectl("create", "role", "all", "--namespace=one", "--verb=*", "--resource=configmaps,pods,secrets")
    plane.kubectl("create", "rolebinding", "all", "--namespace=one", "--role=all", "--user=tenant")

    def may(verb, resource, *namespace):
        return plane.try_kubectl("auth", "can-i", verb, resource, "--as=tenant", *namespace).stdout.strip() == "yes"

    assert may("update", "configmaps/sedna-metrics", "--namespace=one")
    assert not may("update", "configmaps/sedna-metrics", "--namespace=two")
    assert not may("update", "mutatingadmissionpolicies.admissionregistration.k8s.io")
    theirs = pod("w", "incrementallearningjob", "train", {"PYTHONUSERBASE": "/evil"}, restartPolicy="OnFailure")
    theirs["metadata"].update(namespace="one", labels={**theirs["metadata"]["labels"], "sedna-metrics/inject": "evil"})
    assert {"name": "PYTHONUSERBASE", "value": "/evil"} in plane.create(theirs)["spec"]["containers"][0]["env"]
    ours = pod("w", "incrementallearningjob", "train", {"JOB_NAME": "x"}, restartPolicy="OnFailure")
    ours["metadata"]["namespace"] = "two"
    env = plane.create(ours)["spec"]["containers"][0]["env"]
    assert {"name": "PYTHONUSERBASE", "value": "/opt/sedna-metrics"} in env
    assert "evil" not in json.dumps(env)
