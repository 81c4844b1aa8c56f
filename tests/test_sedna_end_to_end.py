"""Real Sedna workers, one process each, with the environment that the Global Manager injects: each number is compared
with the truth.

Runs where SEDNA_LIB names a folder with Sedna's package (lib/ of kubeedge/sedna) and Sedna's dependencies are there:
``make test-sedna SEDNA_LIB=.../lib``. The workers in tests/sedna_workers know nothing of sedna_metrics.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Dict, List, Optional

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from support import eventually, free_port

SEDNA_LIB = os.environ.get("SEDNA_LIB", "")
WORKERS = Path(__file__).parent / "sedna_workers"
LC = ["NAMESPACE", "WORKER_NAME", "LC_SERVER"]
JOB, SERVICE = [*LC, "JOB_NAME"], [*LC, "SERVICE_NAME"]
TRAIN = [*JOB, "TRAIN_DATASET_URL", "ORIGINAL_DATASET_URL"]
EVAL = [*JOB, "TEST_DATASET_URL", "ORIGINAL_DATASET_URL", "MODEL_URLS"]
FEDERATED = ["PARTICIPANTS_COUNT", "TRANSMITTER", "MODEL_URL"]
AGGREGATE = ["NAMESPACE", "WORKER_NAME", "JOB_NAME", "AGG_BIND_PORT", *FEDERATED]
NODE = [*JOB, "AGG_IP", "AGG_PORT", "MODEL_NAME", "DATASET_NAME", "TRAIN_DATASET_URL", *FEDERATED]
#: What the Global Manager sets (pkg/globalmanager/controllers of Sedna), by worker.
VARIABLES = {
    "jointinference/jointinferenceservice.go": {
        "ji_edge": [*SERVICE, "BIG_MODEL_IP", "BIG_MODEL_PORT", "HEM_NAME", "HEM_PARAMETERS", "MODEL_URL"],
        "ji_cloud": ["NAMESPACE", "WORKER_NAME", "SERVICE_NAME", "BIG_MODEL_BIND_PORT", "MODEL_URL"],
    },
    "incrementallearning/incrementallearningjob.go": {
        "il_train": [*TRAIN, "BASE_MODEL_URL", "MODEL_URL"],
        "il_eval": EVAL,
        "il_inference": [*JOB, "HEM_NAME", "HEM_PARAMETERS", "MODEL_URL"],
    },
    "federatedlearning/federatedlearningjob.go": {
        "fl_aggregate": AGGREGATE,
        "fl_train": NODE,
        "fl2_aggregate": AGGREGATE,
        "fl2_train": NODE,
    },
    "lifelonglearning/lifelonglearningjob.go": {
        "ll_train": [*TRAIN, "KB_SERVER", "OUTPUT_URL", "HAS_COMPLETED_INITIAL_TRAINING"],
        "ll_eval": [*EVAL, "KB_SERVER", "OUTPUT_URL"],
        "ll_inference": [*JOB, "MODEL_URLS", "OUTPUT_URL"],
    },
    "videoanalytics/videoanalyticsjob.go": {"me_videoanalytics": [*JOB, "MODEL_NAME", "MODEL_URL"]},
    "featureextraction/featureextractionservice.go": {"me_fe": [*SERVICE, "MODEL_URL"]},
    "reid/reidjob.go": {"me_reid": JOB},
    "objectsearch/objectsearchservice.go": {
        "me_search_user": ["NAMESPACE", "WORKER_NAME", "SERVICE_NAME"],
        "me_search_tracking": ["NAMESPACE", "WORKER_NAME", "SERVICE_NAME", "USERWORKER_URL", "EDGEMESH_URL"],
        "me_search_reid": [],
    },
}
#: These as well, where the resource asks for it.
OPTIONAL = {
    "il_inference": ["MODEL_HOT_UPDATE", "MODEL_HOT_UPDATE_CONFIG", "MODEL_POLL_PERIOD_SECONDS"],  # runtime/worker.go
    "fl_aggregate": ["AGG_DATA_PATH", "PRETRAINED_MODEL_URL"],
    "fl_train": ["AGG_DATA_PATH", "PRETRAINED_MODEL_URL"],
    "ll_train": ["CLOUD_KB_INDEX"],
    "me_videoanalytics": ["KAFKA_ENABLED"],
    "me_fe": ["KAFKA_ENABLED"],
    "me_reid": ["KAFKA_ENABLED"],
}
OF_WORKER = {worker: names for workers in VARIABLES.values() for worker, names in workers.items()}

pytestmark = pytest.mark.skipif(
    not os.path.isfile(os.path.join(SEDNA_LIB, "sedna", "core", "base.py")),
    reason="SEDNA_LIB does not name a folder with Sedna's package (lib/ of kubeedge/sedna)",
)


class Receiver:
    """A Pushgateway that keeps the last push, a Local Controller, and a cloud that is broken, all in one."""

    def __init__(self) -> None:
        self.pushed: Dict[str, str] = {}
        self.reports: List[dict] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path.startswith("/metrics/"):
                    receiver.pushed[self.path] = body.decode()
                elif self.path.startswith("/sedna/"):
                    receiver.reports.append(json.loads(body))
                answer = b"{}" if self.path.startswith("/sedna/") else b""
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_PUT = do_POST

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Metrics:
    """What a worker told: ``metrics("sedna_iteration")``, ``metrics("sedna_inferences_total", location="edge")``."""

    def __init__(self, text: str) -> None:
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> Optional[float]:
        found = [value for own, value in self.by_labels(name) if labels.items() <= own.items()]
        assert len(found) < 2, f"{name} {labels} is ambiguous"
        return found[0] if found else None

    def by_labels(self, name: str) -> list:
        return [(dict(labels), value) for (each, labels), value in self.samples.items() if each == name]

    def state(self, name: str, label: str, **labels: str) -> List[str]:
        return [own[label] for own, value in self.by_labels(name) if value == 1 and labels.items() <= own.items()]


class Worker:
    """A worker's process; ``environ`` is what the Global Manager sets, ``template`` what the resource's author adds."""

    def __init__(
        self, receiver: Receiver, folder: Path, kind: str, arguments, template: Dict[str, str], **environ: str
    ):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._receiver = receiver
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.truth_file = folder / "truth.json"
        self.output_file = folder / "output.txt"
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        given = {"NAMESPACE": "ns", "LC_SERVER": receiver.url, **environ}
        assert not set(environ) - {*OF_WORKER[kind], *OPTIONAL.get(kind, [])}, "the Global Manager does not set these"
        environment = {
            "PYTHONPATH": f"{SEDNA_LIB}{os.pathsep}{WORKERS / 'standins'}",
            "PYTHONWARNINGS": "ignore",
            "BACKEND_TYPE": "PLAIN",
            "TRUTH": str(self.truth_file),
            "WORK": str(folder),
            **template,
            **{name: given.get(name, "unused") for name in OF_WORKER[kind]},
            **environ,
        }
        options = ["--export", "both", "--pushgateway-url", receiver.url, "--host", "127.0.0.1", "--port", str(port)]
        script = next(path for path in (WORKERS / f"{kind}.py", WORKERS / f"{kind.split('_')[0]}.py") if path.exists())
        command = [sys.executable, "-m", "sedna_metrics", "run", *options, str(script), *arguments]
        self._output = self.output_file.open("w")
        self.process = subprocess.Popen(
            command, cwd=folder, env={**inherited, **environment}, stdout=self._output, stderr=subprocess.STDOUT
        )
        self.name = environment.get("WORKER_NAME", "")

    def ended(self, status: int = 0) -> Metrics:
        """The last push, once the worker has ended."""
        assert self.process.wait(90) == status, self.output()
        texts = [text for text in self._receiver.pushed.values() if f'worker="{self.name}"' in text]
        assert texts, self.output()
        return self._good(Metrics(texts[-1]))

    def served(self) -> Metrics:
        """What a scrape finds once a worker that serves has done its test's work; its group goes when it ends."""
        self.truth()
        return self.scraped()

    def scraped(self) -> Metrics:
        """What a scrape finds now."""
        return self._good(Metrics(requests.get(self.url, timeout=5).text))

    def until_up(self, url: str) -> None:
        """Wait until the worker's own server answers."""

        def is_up() -> bool:
            try:
                return requests.get(url, timeout=2).ok
            except requests.ConnectionError:
                assert self.process.poll() is None, self.output()
                return False

        assert eventually(is_up, 30), self.output()

    def truth(self) -> dict:
        assert eventually(lambda: self.truth_file.exists() or self.process.poll() is not None, 60)
        assert self.truth_file.exists(), self.output()
        return json.loads(self.truth_file.read_text())

    def output(self) -> str:
        return self.output_file.read_text()[-4000:]

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self._output.close()

    def _good(self, metrics: Metrics) -> Metrics:
        assert metrics("sedna_metrics_internal_errors_total") == 0, self.output()
        assert "is not observed" not in self.output_file.read_text()
        return metrics


@pytest.mark.parametrize("controller", VARIABLES)
def test_the_global_manager_sets_these_variables(controller):
    path = Path(SEDNA_LIB).parent / "pkg" / "globalmanager" / "controllers" / controller
    if not path.exists():
        pytest.skip(f"no {path}: SEDNA_LIB is not a checkout of kubeedge/sedna")
    known = {name for worker, names in VARIABLES[controller].items() for name in [*names, *OPTIONAL.get(worker, [])]}
    known -= set(OPTIONAL["il_inference"])  # of another file
    assert set(re.findall(r'"((?:[A-Z]+_)+[A-Z]+|NAMESPACE|TRANSMITTER)"', path.read_text())) == known


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def run(receiver, tmp_path):
    workers = []

    def run_(kind, *arguments, template=None, **environ):
        workers.append(Worker(receiver, tmp_path / f"{len(workers)}", kind, arguments, template or {}, **environ))
        return workers[-1]

    yield run_
    for worker in workers:
        worker.kill()


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.pb"
    path.write_text("first")
    return str(path)


def edge(run, model, options, cloud_port=9, mode="inference-then-mining", hem="", parameters=None):
    return run(
        "ji_edge",
        json.dumps(options),
        template={"MINING_MODE": mode},
        SERVICE_NAME="helmet",
        WORKER_NAME="edgeworker-abcde",
        MODEL_URL=model,
        BIG_MODEL_IP="127.0.0.1",
        BIG_MODEL_PORT=str(cloud_port),
        HEM_NAME=hem,
        HEM_PARAMETERS=json.dumps(parameters),
    )


def compare_edge(metrics, truth):
    assert {
        "samples": metrics("sedna_inference_samples_total"),
        "edge": metrics("sedna_inferences_total", location="edge"),
        "cloud": metrics("sedna_inferences_total", location="cloud"),
        "edge_errors": metrics("sedna_inference_errors_total", location="edge"),
        "cloud_errors": metrics("sedna_inference_errors_total", location="cloud"),
        "hard": metrics("sedna_hard_samples_total"),
    } == truth
    for location in ("edge", "cloud"):
        assert metrics("sedna_inference_duration_seconds_count", location=location) == truth[location]
        assert metrics("sedna_inferences_in_progress", location=location) == 0


@pytest.fixture
def cloud(run, model):
    port = free_port()
    worker = run(
        "ji_cloud",
        template={"BIG_MODEL_BIND_IP": "127.0.0.1"},
        SERVICE_NAME="helmet",
        WORKER_NAME="cloudworker-abcde",
        MODEL_URL=model,
        BIG_MODEL_BIND_PORT=str(port),
    )
    worker.cloud_port = port

    worker.until_up(f"http://127.0.0.1:{port}/sedna")
    return worker


VALUES = [0.1, 0.9, 0.2, -1.0, 0.7, 0.3]


@pytest.mark.parametrize("mode", ["inference-then-mining", "mining-then-inference"])
def test_joint_inference_counts_what_edge_and_cloud_did(run, model, cloud, mode):
    worker = edge(run, model, {"values": VALUES, "method": "ByFirstValue", "threads": 4}, cloud.cloud_port, mode)
    metrics = worker.served()
    truth = worker.truth()
    assert truth["samples"] == 24
    assert truth["cloud"] == truth["hard"] == 12
    assert truth["edge"] == (20 if mode == "inference-then-mining" else 8)
    compare_edge(metrics, truth)
    served = cloud.scraped()
    assert served("sedna_served_inferences_total") == 12
    assert served("sedna_served_inference_duration_seconds_count") == 12
    assert served("sedna_served_inference_errors_total") == 0
    assert served("sedna_inferences_total") is None
    ((info, _),) = served.by_labels("sedna_worker_info")
    assert (info["task"], info["kind"], info["worker_type"]) == ("helmet", "jointinferenceservice", "cloud")
    ((info, _),) = metrics.by_labels("sedna_worker_info")
    assert (info["task"], info["kind"], info["worker_type"]) == ("helmet", "jointinferenceservice", "edge")


@pytest.mark.parametrize("mode", ["inference-then-mining", "mining-then-inference"])
def test_a_cloud_call_that_fails_is_one_error_however_often_sedna_tries(run, model, mode):
    worker = edge(run, model, {"values": [0.9, 0.2], "method": "ByFirstValue", "threads": 2}, free_port(), mode)
    metrics = worker.served()
    truth = worker.truth()
    assert truth["cloud_errors"] == truth["hard"] == 2
    compare_edge(metrics, truth)


def test_a_big_model_that_raises_is_an_error_on_both_sides(run, model, cloud):
    worker = edge(run, model, {"values": [0.25, 0.1], "method": "ByFirstValue"}, cloud.cloud_port)
    metrics = worker.served()
    truth = worker.truth()
    assert (truth["cloud"], truth["cloud_errors"]) == (1, 1)
    compare_edge(metrics, truth)
    served = cloud.scraped()
    assert served("sedna_served_inferences_total") == 1
    assert served("sedna_served_inference_errors_total") == 5  # Sedna tries five times


@pytest.mark.parametrize(
    ("name", "parameters", "hard"),
    [
        ("", {}, 0),
        ("IBT", {"threshold_img": "0.9", "threshold_box": "0.5"}, 3),
        ("Threshold", {"threshold": "0.5"}, 3),
        ("CrossEntropy", {"threshold_cross_entropy": "0.2"}, 2),
        ("CloudOnly", {}, 5),
    ],
)
def test_miners_that_the_environment_names_are_believed(run, model, cloud, name, parameters, hard):
    options = {"values": VALUES, "probabilities": name == "CrossEntropy"}
    pairs = [{"key": key, "value": value} for key, value in parameters.items()] if parameters else None
    worker = edge(run, model, options, cloud.cloud_port, hem=name, parameters=pairs)
    metrics = worker.served()
    truth = worker.truth()
    assert truth["hard"] == hard
    compare_edge(metrics, truth)


def learning(stage, **environ):
    prefix = "inferworker" if stage == "infer" else f"{stage}-worker"
    return {"JOB_NAME": "helmet", "WORKER_NAME": f"{prefix}-abcde", **environ}


def lines(path, count):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"image{number}.png 1\n" for number in range(count)))
    return str(path)


@pytest.mark.parametrize(
    ("answer", "loss"),
    [
        ('{"loss": [3.0, 2.0, 0.125], "val_loss": [1.0]}', 0.125),
        ("[3.0, 0.5]", 0.5),
        ("0.75", 0.75),
        ('{"mlogloss": 0.25}', 0.25),
        ('{"accuracy": 0.9}', None),
        ("null", None),
    ],
)
def test_incremental_training(run, receiver, tmp_path, answer, loss):
    output = tmp_path / "output" / "train" / "3"
    worker = run(
        "il_train",
        answer,
        **learning(
            "train", MODEL_URL=str(output), TRAIN_DATASET_URL=lines(tmp_path / "data" / "train" / "3" / "data.txt", 7)
        ),
    )
    metrics = worker.ended()
    assert metrics("sedna_training_samples") == 7
    assert metrics("sedna_training_loss") == loss
    assert metrics("sedna_iteration") == 3
    assert metrics("sedna_training_remaining_seconds") == 0
    assert metrics.state("sedna_task_stage", "task_stage") == ["train"]
    assert metrics.state("sedna_stage_status", "status", task_stage="train") == ["completed"]
    ((labels, _),) = metrics.by_labels("sedna_training_output_model_info")
    (report,) = receiver.reports
    assert labels["url"] == report["results"][0]["url"]
    assert metrics("sedna_worker_last_success_timestamp_seconds")


def test_incremental_training_on_data_that_does_not_tell_its_length(run, tmp_path):
    metrics = run("il_train", "0.5", "unmeasured", **learning("train", MODEL_URL=str(tmp_path / "train" / "1"))).ended()
    assert metrics("sedna_training_samples") is None
    assert metrics("sedna_training_loss") == 0.5


def test_incremental_training_that_raises(run, tmp_path):
    worker = run("il_train", "raises", "unmeasured", **learning("train", MODEL_URL=str(tmp_path / "train" / "1")))
    metrics = worker.ended(status=1)
    assert metrics.state("sedna_stage_status", "status", task_stage="train") == ["failed"]
    assert metrics("sedna_worker_last_success_timestamp_seconds") is None
    assert "RuntimeError: out of memory" in worker.output()


def test_incremental_evaluation(run, receiver, tmp_path):
    new, old = str(tmp_path / "new.pb"), str(tmp_path / "old.pb")
    worker = run(
        "il_eval",
        **learning(
            "eval", MODEL_URLS=f"{new};{old}", TEST_DATASET_URL=lines(tmp_path / "data" / "eval" / "2" / "data.txt", 4)
        ),
    )
    metrics = worker.ended()
    assert metrics("sedna_eval_samples") == 4
    assert metrics("sedna_iteration") == 2
    scores = {(own["model"], own["metric"]): value for own, value in metrics.by_labels("sedna_eval_score")}
    assert scores == {
        ("new", "precision"): pytest.approx(0.8),
        ("new", "recall"): 0.5,
        ("new", "map"): 0.5,
        ("old", "precision"): pytest.approx(0.4),
        ("old", "recall"): 0.25,
        ("old", "map"): 0.5,
    }
    ((labels, _),) = metrics.by_labels("sedna_eval_new_model_info")
    assert labels["url"] == new
    assert metrics.state("sedna_stage_status", "status", task_stage="eval") == ["completed"]
    assert metrics("sedna_metrics_rejected_values_total") == 0


@pytest.mark.parametrize(
    ("updates", "iteration", "status", "stage"),
    [
        ([], 0, "ok", "running"),
        (["second", "third"], 2, "ok", "completed"),
        (["second", "broken"], 1, "not_ok", "failed"),
    ],
)
def test_incremental_inference_with_hot_updates(run, tmp_path, model, updates, iteration, status, stage):
    config = str(tmp_path / "model_config.json")
    hot = {"MODEL_HOT_UPDATE": "true", "MODEL_POLL_PERIOD_SECONDS": "1", "MODEL_HOT_UPDATE_CONFIG": config}
    worker = run(
        "il_inference",
        json.dumps(updates),
        **learning(
            "infer",
            MODEL_URL=model,
            HEM_NAME="IBT",
            HEM_PARAMETERS='[{"key": "threshold_img", "value": "0.5"}]',
            **(hot if updates else {}),
        ),
    )
    metrics = worker.served()
    truth = worker.truth()
    assert truth["iteration"] == iteration
    assert truth["hard"] > 0
    assert {
        "inferences": metrics("sedna_inferences_total", location="edge"),
        "errors": metrics("sedna_inference_errors_total", location="edge"),
        "hard": metrics("sedna_hard_samples_total"),
        "iteration_inferences": metrics("sedna_iteration_inferences"),
        "iteration_hard": metrics("sedna_iteration_hard_samples"),
        "iteration": metrics("sedna_iteration"),
    } == truth
    assert metrics("sedna_inference_samples_total") == truth["inferences"] + truth["errors"]
    assert metrics.state("sedna_deploy_status", "status") == [status]
    assert metrics.state("sedna_stage_status", "status", task_stage="deploy") == [stage]
    ((labels, _),) = metrics.by_labels("sedna_deploy_model_info")
    assert labels["url"] == (str(worker.folder / f"model-{iteration}.pb") if iteration else model)


def test_federated_learning(run, tmp_path):
    port = free_port()
    aggregator = run(
        "fl_aggregate",
        template={"AGG_BIND_IP": "127.0.0.1", "EXIT_ROUND": "3"},
        JOB_NAME="fl",
        WORKER_NAME="aggworker-abcde",
        AGG_BIND_PORT=str(port),
        PARTICIPANTS_COUNT="2",
        TRANSMITTER="ws",
    )
    nodes = []
    for number, samples in enumerate((3, 5)):
        nodes.append(
            run(
                "fl_train",
                template={"SAMPLES": str(samples), "BACKEND_TYPE": "KERAS"},
                JOB_NAME="fl",
                WORKER_NAME=f"trainworker-{number}",
                DATASET_NAME=f"data-{number}",
                AGG_IP="127.0.0.1",
                AGG_PORT=str(port),
                TRANSMITTER="ws",
                MODEL_URL=str(tmp_path / f"node-{number}"),
            )
        )
    for node, samples in zip(nodes, (3, 5)):
        metrics = node.ended()
        truth = node.truth()
        assert truth["rounds"] == 3
        assert metrics("sedna_iteration") == 3
        assert metrics("sedna_aggregation_round") == 3
        assert metrics("sedna_aggregations_total") is None
        assert metrics("sedna_training_samples") == samples
        assert metrics("sedna_node_samples") == samples
        assert metrics("sedna_training_loss") == truth["loss"]
        assert metrics.state("sedna_train_status", "status") == ["completed"]
        ((labels, _),) = metrics.by_labels("sedna_training_output_model_info")
        assert str(tmp_path) in labels["url"]
    metrics = aggregator.ended()
    assert metrics("sedna_aggregation_round") == 3
    assert metrics("sedna_aggregations_total") == 3
    assert metrics("sedna_aggregation_duration_seconds_count") == 3
    assert metrics("sedna_train_nodes") == 0
    assert metrics("sedna_node_samples", client="trainworker-0") == 3
    assert metrics("sedna_node_samples", client="trainworker-1") == 5
    assert metrics.state("sedna_train_status", "status") == ["completed"]


@pytest.mark.parametrize(
    ("argument", "name", "port", "samples"),
    [("train", "trainworker-abcde", "AGG_PORT", 11), ("aggregate", "aggworker-abcde", "AGG_BIND_PORT", None)],
)
def test_version_2_of_federated_learning(run, argument, name, port, samples):
    worker = run(f"fl2_{argument}", argument, JOB_NAME="fl", WORKER_NAME=name, TRANSMITTER="ws", **{port: "7363"})
    metrics = worker.ended()
    assert metrics.state("sedna_train_status", "status") == ["completed"]
    assert metrics("sedna_training_samples") == samples
    assert metrics("sedna_worker_last_success_timestamp_seconds")
    assert worker.output().count("Plato's rounds, losses and clients are not observed") == 1


@pytest.fixture
def feature_extraction(run, model):
    port = free_port()
    worker = run(
        "me_fe",
        "fe",
        template={
            "FE_MODEL_BIND_URL": "127.0.0.1",
            "FE_MODEL_BIND_PORT": str(port),
            "KAFKA_BIND_IPS": "127.0.0.1",
            "KAFKA_BIND_PORTS": "9092",
        },
        SERVICE_NAME="features",
        WORKER_NAME="ab1c2",
        MODEL_URL=model,
        KAFKA_ENABLED="true",
    )

    worker.until_up(f"http://127.0.0.1:{port}/feature_extraction/status")
    worker.feature_port = str(port)
    return worker


def compare_items(metrics, truth):
    assert {
        "inferences": metrics("sedna_inferences_total", location="edge"),
        "errors": metrics("sedna_inference_errors_total", location="edge"),
        "samples": metrics("sedna_inference_samples_total"),
    } == truth
    assert metrics("sedna_inference_duration_seconds_count", location="edge") == truth["inferences"]
    assert metrics("sedna_inferences_in_progress", location="edge") == 0


def test_object_detection_and_feature_extraction(run, model, feature_extraction):
    worker = run(
        "me_videoanalytics",
        "videoanalytics",
        template={
            "FE_MODEL_BIND_URL": "127.0.0.1",
            "FE_MODEL_BIND_PORT": feature_extraction.feature_port,
            "DET_MODEL_BIND_URL": "127.0.0.1",
            "DET_MODEL_BIND_PORT": str(free_port()),
            "BATCH_SIZE": "2",
        },
        JOB_NAME="cameras",
        WORKER_NAME="x1y2z",
        MODEL_URL=model,
    )
    metrics = worker.ended()
    truth = worker.truth()
    assert (truth["errors"], truth["samples"]) == (1, 6)  # Sedna's threads decide how many items a call gets
    compare_items(metrics, truth)
    ((info, _),) = metrics.by_labels("sedna_worker_info")
    assert (info["task"], info["kind"], info["worker_type"]) == ("cameras", "videoanalyticsjob", "videoanalytics")
    assert metrics("sedna_worker_last_success_timestamp_seconds")

    calls = truth["inferences"] + 1  # the detector's results, and one by Kafka
    assert eventually(lambda: feature_extraction.truth()["inferences"] == calls, 30)
    assert eventually(lambda: feature_extraction.scraped()("sedna_inferences_total", location="edge") == calls, 10)
    expected = feature_extraction.truth()
    metrics = feature_extraction.scraped()
    compare_items(metrics, expected)
    ((info, _),) = metrics.by_labels("sedna_worker_info")
    assert (info["task"], info["kind"], info["worker_type"]) == ("features", "featureextractionservice", "fe")


@pytest.mark.parametrize("variables", [{"JOB_NAME": "find", "WORKER_NAME": "x1y2z"}, {}])
def test_reid(run, feature_extraction, variables):
    worker = run(
        "me_reid" if variables else "me_search_reid",
        "reid",
        template={
            "FE_MODEL_BIND_URL": "127.0.0.1",
            "FE_MODEL_BIND_PORT": feature_extraction.feature_port,
            "REID_MODEL_BIND_URL": "127.0.0.1",
            "REID_MODEL_BIND_PORT": str(free_port()),
        },
        **variables,
    )
    expected = {"inferences": 2, "errors": 0, "samples": 4}
    assert eventually(lambda: worker.truth() == expected, 30), worker.output()
    assert eventually(lambda: worker.scraped()("sedna_inferences_total", location="edge") == 2, 10)
    metrics = worker.scraped()
    compare_items(metrics, expected)
    ((info, _),) = metrics.by_labels("sedna_worker_info")
    assert (info["task"], info["kind"], info["worker_type"]) == (variables.get("JOB_NAME", "me"), "reidjob", "reid")


@pytest.fixture
def knowledge_base(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path / "kb"
    folder.mkdir()
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sedna.service.run_kb"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": SEDNA_LIB, "KnowledgeBaseServer": url, "KnowledgeBasePath": str(folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def is_up():
        try:
            return requests.get(f"{url}/docs", timeout=2).ok
        except requests.ConnectionError:
            assert process.poll() is None, (folder / "log.txt").read_text()[-3000:]
            return False

    eventually(is_up, 30)
    yield url
    process.kill()
    process.wait(10)


def test_lifelong_learning(run, tmp_path, knowledge_base):
    output = tmp_path / "output"
    deployed = output / "deploy" / "index.pkl"

    def train(iteration):
        url = str(output / "train" / str(iteration))
        more = {"OUTPUT_URL": url, "HAS_COMPLETED_INITIAL_TRAINING": "false", "KB_SERVER": knowledge_base}
        return url, run("ll_train", "train", **learning("train", **more))

    url, worker = train(1)
    metrics = worker.ended()
    truth = worker.truth()
    assert metrics("sedna_training_samples") == truth["samples"]
    assert metrics("sedna_known_tasks") == truth["known"]
    assert metrics("sedna_task_samples") == truth["samples"]
    assert metrics("sedna_training_loss") == truth["loss"]
    assert metrics.state("sedna_stage_status", "status", task_stage="train") == ["completed"]
    ((labels, _),) = metrics.by_labels("sedna_training_output_model_info")
    index = f"{url}/index.pkl"
    assert labels["url"] == index
    assert metrics("sedna_iteration") == 1
    ((labels, _),) = metrics.by_labels("sedna_worker_info")
    assert (labels["kind"], labels["worker_type"]) == ("lifelonglearningjob", "train")

    where = {"MODEL_URLS": index, "OUTPUT_URL": str(output / "eval" / "1"), "KB_SERVER": knowledge_base}
    worker = run("ll_eval", "eval", **learning("eval", **where))
    metrics = worker.ended()
    truth = worker.truth()
    assert metrics("sedna_eval_samples") == truth["samples"]
    assert metrics("sedna_eval_score", model="new", metric="accuracy_score") == pytest.approx(truth["score"])
    assert metrics.state("sedna_stage_status", "status", task_stage="eval") == ["completed"]

    more = tmp_path / "more"
    deployed.parent.mkdir()
    shutil.copy(index, deployed)  # the Local Controller does so
    worker = run(
        "ll_inference",
        "inference",
        template={"MODEL_POLL_PERIOD_SECONDS": "1", "MORE": str(more), "EDGE_OUTPUT_URL": str(tmp_path / "edge")},
        **learning("infer", MODEL_URLS=str(deployed), OUTPUT_URL=str(output)),
    )
    assert eventually(lambda: more.exists() or worker.process.poll() is not None, 60)
    assert more.exists(), worker.output()
    metrics = worker.scraped()
    assert metrics("sedna_iteration") == 0
    assert metrics.state("sedna_deploy_status", "status") == ["ok"]
    ((labels, _),) = metrics.by_labels("sedna_worker_info")
    assert (labels["kind"], labels["worker_type"]) == ("lifelonglearningjob", "inference")
    (started,) = [line for line in worker.output_file.read_text().splitlines() if '"worker.started"' in line]
    assert json.loads(started)["kind"] == "lifelonglearningjob"
    url, again = train(2)
    again.ended()
    shutil.copy(f"{url}/index.pkl", deployed)
    truth = worker.truth()
    metrics = worker.scraped()
    assert metrics("sedna_inferences_total", location="edge") == truth["inferences"]
    assert metrics("sedna_inference_samples_total") == truth["samples"]
    assert metrics("sedna_unseen_samples_total") == truth["unseen"] == 4
    assert metrics("sedna_iteration") == 1
    assert metrics("sedna_known_tasks") == 2
    ((labels, _),) = metrics.by_labels("sedna_deploy_model_info")
    assert labels["url"] == str(deployed)


def test_the_log_is_one_json_object_a_line_and_holds_sednas_records_once(run, model):
    worker = edge(run, model, {"values": [0.2], "method": "ByFirstValue"}, free_port())
    worker.truth()
    records = [json.loads(line) for line in worker.output_file.read_text().splitlines()]
    refused = [record for record in records if "Connection refused in request" in record["message"]]
    assert len(refused) == 5
    assert {record["logger"] for record in refused} == {"sedna"}
    assert {record["task"] for record in records} == {"helmet"}
