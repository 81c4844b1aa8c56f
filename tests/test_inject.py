"""The injection: the bundle, what it does in an unchanged image, and the changes to a pod."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import kyverno
import oldwheel
import pytest
import versions
import yaml
from pods import config_map_files, without_order, write_files

from sedna_metrics import inject
from sedna_metrics.cli import main
from sedna_metrics.inject import bundle

HERE = Path(__file__).parent
RESOURCES = sorted((HERE / "sedna_resources").glob("*job.yaml")) + sorted(
    (HERE / "sedna_resources").glob("*service.yaml")
)
JOB = """
import sys, threading, urllib.request
from sedna.core.incremental_learning.incremental_learning import IncrementalLearning

class Estimator:
    def train(self, train_data, valid_data=None, **kwargs):
        return {"loss": 0.25}

IncrementalLearning(Estimator()).train([1, 2, 3])
import sedna_metrics
worker = sedna_metrics.running()
text = urllib.request.urlopen(worker.url).read().decode()
print([line.split()[1] for line in text.splitlines() if line.startswith("sedna_training_samples")])
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    oldwheel.build(folder)
    return folder


@pytest.fixture(scope="module")
def base(wheels, tmp_path_factory):
    """A folder as pods have it: the keys of the ConfigMap at the paths of the volume's items."""
    folder = tmp_path_factory.mktemp("base")
    assert main(["bundle", str(folder / "map.yaml"), "--wheels", str(wheels)]) == 0
    config_map = yaml.safe_load((folder / "map.yaml").read_text())
    (volume,) = inject.additions(True, False)["volumes"]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    write_files(config_map_files(config_map, volume["configMap"]["items"]), folder / "root")
    return folder / "root"


def run(base, program, interpreter=sys.executable, path=HERE / "sedna_standin", **environ):
    """A program in an image without the library: nothing of this environment but the interpreter."""
    if interpreter == sys.executable:  # a virtual environment has no user site
        interpreter = os.path.realpath(interpreter)
    environ = {
        "PATH": "/usr/bin:/bin", "HOME": str(base.parent), "PYTHONUSERBASE": str(base), "PYTHONPATH": str(path),
        "JOB_NAME": "helmet", "WORKER_NAME": "train-worker-x", "SEDNA_METRICS_PORT": "0",
        "SEDNA_METRICS_HOST": "127.0.0.1", "SEDNA_METRICS_LOG": "off", **environ,
    }  # fmt: skip
    done = subprocess.run(
        [interpreter, "-c", program], env=environ, cwd=base, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_the_bundle_is_small_complete_and_the_same_each_time(wheels, tmp_path, capsys):
    for name in ("one.zip", "two.zip"):
        assert main(["bundle", str(tmp_path / name), "--wheels", str(wheels)]) == 0
    first, second = ((tmp_path / name).read_bytes() for name in ("one.zip", "two.zip"))
    assert first == second
    assert len(first) < 900_000
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        names = archive.namelist()
        assert {each.date_time for each in archive.infolist()} == {(2020, 1, 1, 0, 0, 0)}, "not the time of the build"
        manifest = json.loads(archive.read("MANIFEST.json"))
    assert len(manifest) == sum(map(len, bundle.PACKAGES.values()))
    (ours,) = (name for name in manifest if "sedna_metrics" in name)
    assert manifest[ours] == hashlib.sha256((wheels / ours.rpartition("/")[2]).read_bytes()).hexdigest()
    for wheel in manifest:
        folder, slash, file = wheel.rpartition("/")
        info = "-".join(file.split("-")[:2]) + ".dist-info"
        assert any(name.startswith(f"{folder}{slash}{info}/") and "LICENSE" in name for name in names), (
            f"{file}: no licence"
        )


def test_the_bundle_adds_no_modules_to_a_package_of_the_image(wheels, tmp_path, monkeypatch):
    monkeypatch.setenv("SEDNA_METRICS_EXPORT", "off")
    from sedna_metrics.inject import autoload

    assert main(["bundle", str(tmp_path / "bundle.zip"), "--wheels", str(wheels)]) == 0
    finder = autoload.Bundle([str(tmp_path / "bundle.zip")])
    assert finder.find_spec("urllib3") is not None
    assert finder.find_spec("urllib3", ["/site-packages"]) is None


def test_a_wheel_that_cannot_be_had(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert main(["bundle", str(tmp_path / "x.zip"), "--wheels", str(tmp_path)]) == 1
    assert "pip cannot download sedna-metrics" in capsys.readouterr().err
    assert not (tmp_path / "x.zip").exists()


@pytest.fixture(params=[(3, 7), (3, 8), sys.version_info[:2], (3, 13), (3, 15)], ids=lambda version: f"3.{version[1]}")
def interpreter(request):
    version = "{}.{}".format(*request.param)
    cached = HERE.parent / ".cache" / "pythons" / version / "bin" / f"python{version}"
    found = {**versions.interpreters(), **({request.param: str(cached)} if cached.exists() else {})}
    if request.param not in found:
        pytest.skip("this machine does not have it")
    return found[request.param]


def test_an_unchanged_script_is_observed_on_each_python(base, interpreter):
    assert run(base, JOB, interpreter) == (0, "['3.0']\n", "")


def test_what_pushes_comes_from_the_bundle_on_each_python(base, interpreter):
    """requests looks for certifi's file as it is imported, and importlib.resources is not the same on each Python."""
    program = (
        "import sys, sedna.core\n"
        "sys.path[:] = [each for each in sys.path if 'site-packages' not in each]\n"  # the image has nothing of its own
        "import ssl, requests\n"
        "from requests.utils import DEFAULT_CA_BUNDLE_PATH, extract_zipped_paths\n"
        "ssl.create_default_context(cafile=extract_zipped_paths(DEFAULT_CA_BUNDLE_PATH))\n"
        "print('bundle.zip' in requests.__file__)"
    )
    status, out, err = run(base, program, interpreter)
    assert (status, out) == (0, "True\n"), err


def test_other_processes_are_untouched(base):
    program = "import sys, threading; print(threading.active_count(), [m for m in sys.modules if 'sedna_m' in m])"
    assert run(base, program) == (0, "1 ['_sedna_metrics_autoload']\n", "")
    assert run(base, JOB.replace("IncrementalLearning(", "0 and ("), SEDNA_METRICS_EXPORT="off")[0] == 1, "no library"


def test_pypis_sedna_is_another_package(base, tmp_path):
    (tmp_path / "sedna" / "core").mkdir(parents=True)
    for folder in ("sedna", "sedna/core"):
        (tmp_path / folder / "__init__.py").write_text("")
    program = "import sys, threading, sedna.core; print(threading.active_count(), 'sedna_metrics' in sys.modules)"
    assert run(base, program, path=tmp_path) == (0, "1 False\n", "")


@pytest.mark.parametrize("kind", ["missing", "not a zip", "cut"])
def test_a_broken_bundle_costs_one_line(base, tmp_path, kind):
    copy_of = tmp_path / "base"
    subprocess.run(["cp", "-r", str(base), str(copy_of)], check=True)
    whole = (copy_of / "bundle.zip").read_bytes()
    (copy_of / "bundle.zip").unlink()
    if kind != "missing":
        (copy_of / "bundle.zip").write_bytes(b"x" if kind == "not a zip" else whole[: len(whole) // 2])
    status, out, err = run(copy_of, "import sedna.core; print('goes on')")
    assert (status, out) == (0, "goes on\n")
    assert len(err.splitlines()) == 1
    assert err.startswith("sedna-metrics: ")


def test_a_broken_autoload_costs_one_line(base, tmp_path):
    copy_of = tmp_path / "base"
    subprocess.run(["cp", "-r", str(base), str(copy_of)], check=True)
    for path in copy_of.rglob("_sedna_metrics_autoload.py"):
        path.write_text("raise OSError('no')")
    status, out, err = run(copy_of, "print('goes on')")
    assert (status, out, len(err.splitlines())) == (0, "goes on\n", 1)


def test_an_image_with_the_library_is_left_to_its_script(base):
    path = os.pathsep.join([str(HERE / "sedna_standin"), str(HERE.parent), *filter(None, sys.path)])
    program = "import sedna.core, sedna_metrics; print(sedna_metrics.running(), 'bundle' in sedna_metrics.__file__)"
    assert run(base, program, path=path) == (0, "None False\n", "")


def test_the_images_own_packages_win(base, tmp_path):
    (tmp_path / "idna.py").write_text("mine = True")
    path = os.pathsep.join([str(tmp_path), str(HERE / "sedna_standin")])
    assert run(base, "import sedna.core, idna, requests; print(idna.mine)", path=path)[:2] == (0, "True\n")


@pytest.mark.parametrize("path", RESOURCES, ids=lambda path: path.stem)
def test_injecting_twice_changes_nothing_more_and_it_can_be_taken_back(path):
    original = yaml.safe_load(path.read_text())
    resource = copy.deepcopy(original)
    assert inject.inject(resource)
    once = copy.deepcopy(resource)
    assert not inject.inject(resource)
    assert resource == once
    assert inject.uninject(resource)
    assert resource == original


_PUSHES = {"SEDNA_METRICS_PUSHGATEWAY_URL", "SEDNA_METRICS_EXPORT"}


@pytest.mark.parametrize(
    ("kind", "key", "variables", "has_port"),
    [
        ("JointInferenceService", "edgeWorker", {"JOB_NAME", "SEDNA_METRICS_PORT"}, True),
        ("IncrementalLearningJob", "trainSpec", _PUSHES, False),
        ("IncrementalLearningJob", "deploySpec", {"SEDNA_METRICS_SD_DIR"}, False),
        ("LifelongLearningJob", "evalSpec", _PUSHES, False),
        ("FederatedLearningJob", "aggregationWorker", _PUSHES, False),
        ("FederatedLearningJob", "trainingWorkers", _PUSHES, False),
        ("FeatureExtractionService", "spec", {"SEDNA_METRICS_PORT"}, True),
    ],
)
def test_each_role_gets_what_it_needs(kind, key, variables, has_port):
    pod = {"containers": [{"name": "w", "image": "x", "env": [{"name": "NODE_NAME", "value": "mine"}]}]}
    holder = {"template": {"spec": pod}}
    resource = {
        "kind": kind, "metadata": {"name": "helmet"}, "spec": {key: [holder] if key == "trainingWorkers" else holder},
    }  # fmt: skip
    assert inject.inject(resource, "http://gateway:9091")
    (container,) = pod["containers"]
    values = {each["name"]: each.get("value") for each in container["env"]}
    assert set(values) == {"PYTHONUSERBASE", "NODE_NAME", "POD_IP", *variables}
    assert values["NODE_NAME"] == "mine", "what the user has set stays"
    assert values.get("JOB_NAME", "helmet") == "helmet"
    assert values.get("SEDNA_METRICS_PUSHGATEWAY_URL", "http://gateway:9091") == "http://gateway:9091"
    assert ("ports" in container) == has_port
    assert inject.FOLDER in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_other_kinds_and_the_opt_out():
    plain = {"kind": "Pod", "spec": {"containers": [{"name": "w", "image": "x"}], "restartPolicy": "Never"}}
    assert inject.inject(plain)
    assert "SEDNA_METRICS_PUSHGATEWAY_URL" in str(plain)
    out = {"kind": "Pod", "spec": {"containers": [{"name": "w", "env": [{"name": inject.OPT_OUT, "value": "off"}]}]}}
    assert not inject.inject(out)
    sidecar = copy.deepcopy(plain["spec"]["containers"][0])
    two = {"kind": "Pod", "spec": {"containers": [{"name": "w"}, copy.deepcopy(sidecar)]}}
    assert inject.inject(two)
    assert two["spec"]["containers"][1] == sidecar, "the worker is the first container"
    assert not inject.inject({"kind": "Dataset", "spec": {"url": "x"}})


def with_ports(variable=None, port=None):
    """The fields of a container that sets the variable, or has a port named ``metrics``, or both."""
    env = [] if variable is None else [{"name": "SEDNA_METRICS_PORT", **variable}]
    return {
        "env": env,
        "ports": [{"containerPort": 80}, *([{"name": "metrics", "containerPort": port}] if port else [])],
    }


PORTS = {
    "neither": (with_ports(), "9470", 9470),
    "variable": (with_ports({"value": "9471"}), "9471", 9471),
    "range": (with_ports({"value": "9471-9480"}), "9471-9480", 9471),
    "port, which may be the script's own": (with_ports(port=8000), "9470", 8000),
    "both": (with_ports({"value": "9471"}, 8000), "9471", 8000),
    "any": (with_ports({"value": "0"}), "0", None),
    "elsewhere": (with_ports({"valueFrom": {"configMapKeyRef": {"name": "x", "key": "port"}}}), None, None),
}


@pytest.mark.parametrize(("own", "variable", "port"), PORTS.values(), ids=PORTS)
def test_the_variable_and_the_port_have_one_number(own, variable, port):
    container = {"name": "w", **copy.deepcopy(own)}
    pod = {"kind": "Pod", "spec": {"containers": [container]}}
    assert inject.inject(pod)
    assert next(each.get("value") for each in container["env"] if each["name"] == "SEDNA_METRICS_PORT") == variable
    assert next((each["containerPort"] for each in container["ports"] if each.get("name")), None) == port
    for key, items in own.items():
        assert container[key][: len(items)] == items, "what the user has set stays"
    assert not inject.inject(pod)
    assert inject.uninject(pod)
    assert container == {"name": "w", **{key: items for key, items in own.items() if items}}


POD = {
    "containers": [
        {"name": "w", "image": "w", "env": [{"name": "NODE_NAME", "value": "mine"}], "ports": [{"containerPort": 80}]},
        {"name": "sidecar", "image": "sidecar"},
    ],
    "volumes": [{"name": "mine", "emptyDir": {}}],
}


@pytest.mark.skipif(kyverno.find() is None, reason="make test-cluster builds Kyverno's command")
@pytest.mark.parametrize("is_on_node_network", [False, True], ids=["pod network", "node network"])
@pytest.mark.parametrize("restart_policy", ["Always", "OnFailure"])
@pytest.mark.parametrize("kind", ["JointInferenceService", "IncrementalLearningJob"])
def test_kyvernos_policy_and_the_command_give_the_same_pod(tmp_path, kind, restart_policy, is_on_node_network):
    spec = {**copy.deepcopy(POD), "restartPolicy": restart_policy, "hostNetwork": is_on_node_network}
    resource = {
        "kind": kind,
        "metadata": {"name": "helmet"},
        "spec": {"w": {"template": {"spec": copy.deepcopy(spec)}}},
    }
    assert inject.inject(resource)
    assert without_order(apply_kyverno(tmp_path, kind, spec)) == without_order(
        resource["spec"]["w"]["template"]["spec"]
    )


@pytest.mark.skipif(kyverno.find() is None, reason="make test-cluster builds Kyverno's command")
@pytest.mark.parametrize("own", [own for own, _, _ in PORTS.values()], ids=PORTS)
def test_kyvernos_policy_and_the_command_give_a_service_the_same_port(tmp_path, own):
    spec = copy.deepcopy(POD)
    spec["containers"][0].update(copy.deepcopy(own))
    wanted = {"kind": "FeatureExtractionService", "spec": copy.deepcopy(spec)}
    assert inject.inject(wanted)
    assert without_order(apply_kyverno(tmp_path, "FeatureExtractionService", spec)) == without_order(wanted["spec"])


@pytest.mark.skipif(kyverno.find() is None, reason="make test-cluster builds Kyverno's command")
@pytest.mark.parametrize(
    ("label", "value"), [("sedna.io/name", "off"), ("name", "on")], ids=["opted out", "not Sedna's"]
)
def test_kyvernos_policy_leaves_other_pods_alone(tmp_path, label, value):
    spec = copy.deepcopy(POD)
    spec["containers"][1]["env"] = [{"name": inject.OPT_OUT, "value": value}]
    assert without_order(apply_kyverno(tmp_path, "JointInferenceService", spec, label)) == without_order(spec)


def apply_kyverno(folder, kind, spec, label="sedna.io/name"):
    pod = {
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": "x", "namespace": "default", "labels": {f"{kind.lower()}.{label}": "helmet"}},
    }  # fmt: skip
    (folder / "pod.yaml").write_text(yaml.safe_dump(pod))
    policy = HERE.parent / "sedna_metrics" / "stack" / "files" / "inject" / "kyverno.yml"
    command = [kyverno.find(), "apply", str(policy), "--resource", str(folder / "pod.yaml"), "-o", str(folder / "out")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    made = folder / "out" / "x-mutated.yaml"
    return next(yaml.safe_load_all(made.read_text()))["spec"] if made.exists() else spec


def test_the_command_keeps_comments_and_order(tmp_path, capsys, monkeypatch):
    path = next(path for path in RESOURCES if "joint" in path.stem)
    commented = "# about this\n" + path.read_text() + "---\n# nothing to do\nkind: Dataset\n"
    (tmp_path / "x.yaml").write_text(commented)
    assert main(["inject", str(tmp_path / "x.yaml")]) == 0
    injected, said = capsys.readouterr()
    assert "1 of 2 resources changed" in said
    assert injected.startswith("# about this\n")
    assert "# nothing to do" in injected
    monkeypatch.setattr(sys, "stdin", io.StringIO(injected))
    assert main(["inject", "--uninject", "-"]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == list(yaml.safe_load_all(commented))


_POD_OF = "kind: Pod\nspec: {containers: %s}\n"
_WRONG = {
    "cut": b"a: [",
    "control character": b"\0",
    "binary": b"\x89PNG\xff",
    "a key twice": b"a: 1\na: 2\n",
    "an impossible date": b"a: 2024-13-45\n",
    "not a number": b"a: !!int x\n",
    "deep": b"[" * 100_000,
    "not a truth value": b"a: !!bool 5\n",
    "no character": b'a: "\\UFFFFFFFF"\n',
    **{text: (_POD_OF % text).encode() for text in (
        "x", "[x]", "[null]", "[{env: 5}]", "[{env: {a: b}}]", "[{env: [x]}]", "[{ports: [[]]}]", "[{volumeMounts: x}]",
    )},
    "volumes": b"kind: Pod\nspec: {containers: [{name: w}], volumes: x}\n",
}  # fmt: skip


@pytest.mark.parametrize("content", _WRONG.values(), ids=_WRONG)
@pytest.mark.parametrize("option", [[], ["--uninject"]], ids=["inject", "uninject"])
def test_what_is_no_resource_is_an_error_of_one_message(tmp_path, capsys, content, option):
    (tmp_path / "x.yaml").write_bytes(content)
    assert main(["inject", str(tmp_path / "x.yaml"), *option]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"sedna-metrics inject: {tmp_path / 'x.yaml'} cannot be read: ")
    assert not out, "kubectl must not get a part"


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path, capsys):
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        assert main(["inject", str(path)]) == 1
        assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["", "5", "[x]", "items:", "items: 5", "items: [x]", "metadata: [x]", "metadata: x\nkind: [x]",
     "spec: {containers: []}", "items: [{kind: Pod}]"],
)  # fmt: skip
def test_yaml_without_a_pod_is_left_as_it_is(tmp_path, capsys, text):
    (tmp_path / "x.yaml").write_text(text)
    assert main(["inject", str(tmp_path / "x.yaml")]) == 0
    out, err = capsys.readouterr()
    assert yaml.safe_load(out) == yaml.safe_load(text)
    assert "0 of" in err


def test_a_lists_items_are_counted(tmp_path, capsys):
    pod = yaml.safe_load(_POD_OF % "[{name: w}]")
    (tmp_path / "x.yaml").write_text(
        yaml.safe_dump({"kind": "List", "items": [pod, copy.deepcopy(pod), {"kind": "Dataset"}]})
    )
    assert main(["inject", str(tmp_path / "x.yaml")]) == 0
    assert "2 of 3 resources changed" in capsys.readouterr().err
