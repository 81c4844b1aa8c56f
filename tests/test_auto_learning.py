"""Incremental and lifelong learning, observed on stand-ins."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from support import value, values

import sedna_metrics
from sedna_metrics.auto._reports import loss_of, scores_of


class Estimator:
    trained: object = None
    evaluated: object = None
    during = None

    def train(self, train_data, valid_data=None, **kwargs):
        if self.during:
            self.during()
        if isinstance(self.trained, BaseException):
            raise self.trained
        return self.trained

    def evaluate(self, data, model_path=""):
        return self.evaluated(model_path) if callable(self.evaluated) else self.evaluated

    def predict(self, data, **kwargs):
        if data is None:
            raise ValueError("a broken frame")
        return data


@pytest.fixture
def observe(start, sedna):
    observed = []

    def observe_(**environ):
        worker = start(environ)
        observed.append(sedna_metrics.observe_sedna(worker))
        return worker

    yield observe_
    for each in observed:
        each.close()


def incremental(sedna, **attributes):
    estimator = Estimator()
    vars(estimator).update(attributes)
    return sedna("core.incremental_learning.incremental_learning").IncrementalLearning(estimator)


def state(worker, name, label):
    return [dict(labels)[label] for labels, number in values(worker, name).items() if number == 1]


def test_training(observe, sedna):
    worker = observe(TRAIN_DATASET_URL="/data/train/4/data.txt")
    job = incremental(sedna, trained={"loss": [2.0, 0.5], "accuracy": [0.1, 0.9]})
    job.estimator.during = lambda: seen.append(state(worker, "sedna_stage_status", "status"))
    seen = []
    assert job.train(range(12)) is job.estimator
    assert seen == [["running"]]
    assert value(worker, "sedna_training_samples") == 12
    assert value(worker, "sedna_training_loss") == 0.5
    assert value(worker, "sedna_iteration") == 4
    assert value(worker, "sedna_training_output_model_info", url="/models/3.pb") == 1
    assert state(worker, "sedna_stage_status", "status") == ["completed"]
    assert state(worker, "sedna_task_stage", "task_stage") == ["train"]
    assert (worker.identity.kind, worker.identity.worker_type) == ("incrementallearningjob", "train")


@pytest.mark.parametrize("attribute", ["batch_size", "get_batch_size", "unbatch", "on_epoch_end"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_length_that_counts_batches_is_no_number_of_samples(observe, sedna, attribute, inside):
    worker = observe()
    batches = type("Batches", (list,), {attribute: None})(range(12))
    data = type("Source", (list,), {"x": batches})(range(12)) if inside else batches
    job = incremental(sedna, evaluated={"f1": 1})
    job.train(data)
    job.evaluate(data)
    assert value(worker, "sedna_training_samples") is None
    assert value(worker, "sedna_eval_samples") is None


def test_a_dataset_that_raises_when_it_is_looked_at_is_trained_on_all_the_same(observe, sedna):
    def broken(self):
        raise RuntimeError("not parsed yet")

    worker = observe()
    incremental(sedna).train(type("Data", (list,), {"batch_size": property(broken)})(range(3)))
    assert value(worker, "sedna_training_samples") is None
    assert state(worker, "sedna_stage_status", "status") == ["completed"]


def test_an_estimator_may_tell_the_number_of_samples(observe, sedna):
    worker = observe()
    job = incremental(sedna)
    job.estimator.during = lambda: worker.active_runs[-1].samples(384)
    job.train(type("Batches", (list,), {"batch_size": 32})(range(12)))
    assert value(worker, "sedna_training_samples") == 384


def test_training_that_raises_fails_with_the_same_error(observe, sedna):
    worker = observe()
    error = RuntimeError("out of memory")
    with pytest.raises(RuntimeError) as caught:
        incremental(sedna, trained=error).train([1])
    assert caught.value is error
    assert state(worker, "sedna_stage_status", "status") == ["failed"]
    assert worker.active_runs == []


class Unmeasured:
    def __len__(self):
        raise TypeError("object of type NoneType has no len()")


@pytest.mark.parametrize("data", [Unmeasured(), None, "/data/train.txt", {"x": 1, "y": 2}, iter([1])])
def test_data_that_does_not_tell_its_samples_leaves_them_out(observe, sedna, data):
    worker = observe()
    incremental(sedna, trained=0.5).train(data)
    assert value(worker, "sedna_training_samples") is None
    assert value(worker, "sedna_training_loss") == 0.5


@pytest.mark.parametrize(
    ("trained", "loss"),
    [
        (0.5, 0.5),
        (np.float32(0.5), np.float32(0.5)),
        ([3, 2, 1], [3, 2, 1]),
        ({"loss": 1, "val_loss": 2}, 1),
        ({"train_loss": [2, 1]}, [2, 1]),
        ({"mlogloss": 0.25, "merror": 0.5}, 0.25),
        ({"val_loss": 2}, None),
        ({"a_loss": 2, "b_loss": 3}, None),
        ([{"loss": 4}, {"loss": 3}], 3),
        (SimpleNamespace(history={"loss": [2, 1]}), [2, 1]),
        ({"accuracy": 0.5}, None),
        ({"loss": "low"}, None),
        ("0.5", None),
        (True, None),
        (None, None),
        (object(), None),
        ([], None),
        (float("nan"), pytest.approx(float("nan"), nan_ok=True)),
    ],
)
def test_where_the_loss_is_found(trained, loss):
    assert loss_of(trained) == loss


def test_scores_are_what_is_a_number():
    numbers = {"map": 0.5, "by_class": [0.1, 0.3]}
    others = {"none": None, "text": "0.5", "bool": True, "mapping": {}, "empty": []}
    assert scores_of({**numbers, **others}) == numbers
    assert scores_of(0.75) == {"score": 0.75}
    assert scores_of(None) == {}


def test_evaluation_of_new_and_old(observe, sedna):
    worker = observe(TEST_DATASET_URL="/data/eval/5/data.txt")

    def evaluate(path):
        return {"precision": [0.5, 0.7], "recall": np.float64(0.25)} if "new" in path else {"precision": 0.4}

    job = incremental(sedna, evaluated=evaluate)
    results = job.evaluate([1, 2, 3])
    assert [result["url"] for result in results] == ["/models/new.pb", "/models/old.pb"]
    assert value(worker, "sedna_eval_samples") == 3
    assert value(worker, "sedna_eval_score", model="new", metric="precision") == pytest.approx(0.6)
    assert value(worker, "sedna_eval_score", model="new", metric="recall") == 0.25
    assert value(worker, "sedna_eval_score", model="old", metric="precision") == 0.4
    assert value(worker, "sedna_eval_new_model_info", url="/models/new.pb") == 1
    assert value(worker, "sedna_iteration") == 5
    assert state(worker, "sedna_stage_status", "status") == ["completed"]


def test_evaluation_of_one_model(observe, sedna):
    worker = observe()
    job = incremental(sedna, evaluated=0.5)
    job.model_urls = "/models/only.pb"
    job.evaluate([1])
    assert values(worker, "sedna_eval_score") == {(("metric", "score"), ("model", "new")): 0.5}


def test_inference_with_hot_updates(observe, sedna, tmp_path, monkeypatch):
    config = tmp_path / "model_config.json"
    monkeypatch.setenv("MODEL_HOT_UPDATE_CONFIG", str(config))
    worker = observe(WORKER_NAME="inferworker-x")
    job = incremental(sedna)
    job.miner = lambda result: np.bool_(result > 1)
    assert value(worker, "sedna_iteration") == 0
    assert value(worker, "sedna_inferences_total", location="edge") == 0
    assert state(worker, "sedna_stage_status", "status") == ["starting"]
    assert values(worker, "sedna_deploy_status") == {}
    for sample in (1, 2, 3):
        assert job.inference(sample) == (sample, sample, sample > 1)
    with pytest.raises(ValueError, match="broken"):
        job.inference(None)
    assert state(worker, "sedna_stage_status", "status") == ["running"]
    assert value(worker, "sedna_deploy_model_info", url="/models/first.pb") == 1
    assert value(worker, "sedna_iteration_inferences") == 3
    assert value(worker, "sedna_iteration_hard_samples") == 2

    report = job.report_task_info  # bound before, as ModelLoadingThread has it
    config.write_text(json.dumps({"model_config": {"model_path": "/models/second.pb", "model_update_time": "1"}}))
    assert report(task_info=None, status="completed", kind="deploy") == "reported"
    assert value(worker, "sedna_iteration") == 1
    assert value(worker, "sedna_iteration_inferences") == 0
    assert value(worker, "sedna_iteration_hard_samples") == 0
    assert state(worker, "sedna_deploy_status", "status") == ["ok"]
    assert value(worker, "sedna_deploy_model_info", url="/models/second.pb") == 1

    job.inference(5)
    report(task_info=None, status="failed", kind="deploy")
    assert value(worker, "sedna_iteration") == 1
    assert value(worker, "sedna_iteration_inferences") == 1
    assert state(worker, "sedna_deploy_status", "status") == ["not_ok"]
    assert state(worker, "sedna_stage_status", "status") == ["failed"]
    assert value(worker, "sedna_deploy_model_info", url="/models/second.pb") == 1
    assert value(worker, "sedna_inferences_total", location="edge") == 4
    assert value(worker, "sedna_inference_errors_total", location="edge") == 1
    assert value(worker, "sedna_inference_samples_total") == 5
    assert value(worker, "sedna_hard_samples_total") == 3


def test_a_hot_update_before_the_first_inference_stays_the_deployed_model(observe, sedna, tmp_path, monkeypatch):
    config = tmp_path / "model_config.json"
    monkeypatch.setenv("MODEL_HOT_UPDATE_CONFIG", str(config))
    worker = observe(WORKER_NAME="inferworker-x")
    job = incremental(sedna)
    config.write_text(json.dumps({"model_config": {"model_path": "/models/second.pb"}}))
    job.report_task_info(task_info=None, status="completed", kind="deploy")
    job.inference(1)
    assert value(worker, "sedna_iteration") == 1
    assert values(worker, "sedna_deploy_model_info") == {(("url", "/models/second.pb"),): 1}


def test_a_worker_whose_name_tells_no_role_counts_from_its_first_inference(observe, sedna):
    worker = observe(WORKER_NAME="plain")
    job = incremental(sedna)
    job.inference(1)
    assert value(worker, "sedna_iteration_inferences") == 1
    assert (worker.identity.kind, worker.identity.worker_type) == ("incrementallearningjob", "inference")


def test_a_train_worker_shows_no_inference_series(observe, sedna):
    worker = observe(WORKER_NAME="train-worker-x")
    incremental(sedna, trained=1.0).train([1])
    assert values(worker, "sedna_inferences_total") == {}
    assert values(worker, "sedna_deploy_status") == {}


def lifelong(sedna, trained=None, evaluated=None):
    group = SimpleNamespace(tasks=[SimpleNamespace(samples=range(4))], samples=range(4))
    rare = SimpleNamespace(tasks=[], samples=range(6))
    estimator = Estimator()
    estimator.trained, estimator.evaluated = trained, evaluated
    estimator.index = {"task_groups": [group, rare]}
    return sedna("core.lifelong_learning.lifelong_learning").LifelongLearning(estimator)


def test_lifelong_training(observe, sedna):
    worker = observe(WORKER_NAME="train-worker-x", KB_SERVER="http://kb", OUTPUT_URL="/output/train/2")
    lifelong(sedna, trained={"a": {"loss": [9, 1.0]}, "b": 2.0, "c": None}).train(range(10))
    assert value(worker, "sedna_training_samples") == 10
    assert value(worker, "sedna_training_loss") == 1.5
    assert value(worker, "sedna_known_tasks") == 2
    assert value(worker, "sedna_task_samples") == 10
    assert value(worker, "sedna_iteration") == 2
    assert value(worker, "sedna_training_output_model_info", url="/kb/index.pkl") == 1
    assert worker.identity.kind == "lifelonglearningjob"


def test_a_lifelong_update_within_train_is_one_training(observe, sedna):
    worker = observe(WORKER_NAME="train-worker-x")
    job = lifelong(sedna)
    job.initial = False
    job.estimator.during = lambda: seen.append(len(worker.active_runs))
    seen = []
    assert job.train(range(10)) == "/kb/index.pkl"
    assert job.update(range(11)) == "/kb/index.pkl"
    assert seen == [1, 1]
    assert value(worker, "sedna_training_samples") == 11
    assert worker.identity.kind == "lifelonglearningjob", "the class tells more than the name"


def test_lifelong_evaluation(observe, sedna):
    worker = observe()
    lifelong(sedna, evaluated={"accuracy_score": 0.9}).evaluate(range(3))
    assert value(worker, "sedna_eval_samples") == 3
    assert values(worker, "sedna_eval_score") == {(("metric", "accuracy_score"), ("model", "new")): 0.9}


def test_lifelong_inference_counts_samples_not_calls(observe, sedna):
    worker = observe(WORKER_NAME="inferworker-x", KB_SERVER="http://kb")
    job = lifelong(sedna)
    assert value(worker, "sedna_unseen_samples_total") == 0
    for data in ([1], [500], [1, 500, 500, 2], [3, 4]):
        job.inference(data)
    assert value(worker, "sedna_inferences_total", location="edge") == 4
    assert value(worker, "sedna_inference_samples_total") == 8
    assert value(worker, "sedna_unseen_samples_total") == 3


@pytest.mark.parametrize(("is_unseen", "count"), [(True, 1), (False, 0), ({"a": True, "b": False, "c": True}, 2)])
def test_lifelong_inference_of_sedna_before_0_6_returns_what_is_unseen(observe, sedna, monkeypatch, is_unseen, count):
    module = sedna("core.lifelong_learning.lifelong_learning")
    monkeypatch.setattr(module.LifelongLearning, "inference", lambda self, data=None, post_process=None, **kwargs: None)
    monkeypatch.delitem(sys.modules, "sedna.algorithms.unseen_task_processing.unseen_task_processing", raising=False)

    def inference(self, data=None, post_process=None, **kwargs):
        return "result", is_unseen, []

    module.LifelongLearning.inference = inference
    worker = observe(WORKER_NAME="inferworker-x", KB_SERVER="http://kb")
    lifelong(sedna).inference([1, 2, 3])
    assert value(worker, "sedna_unseen_samples_total") == count


def test_lifelong_deployments_are_iterations(observe, sedna, monkeypatch):
    monkeypatch.setenv("MODEL_URLS", "s3://bucket/index.pkl?secret=1")
    worker = observe(WORKER_NAME="inferworker-x", KB_SERVER="http://kb")
    job = lifelong(sedna)
    sedna("common.config")
    job.edge.update_kb(job.estimator.index)
    assert value(worker, "sedna_iteration") == 0
    assert value(worker, "sedna_known_tasks") == 2
    job.edge.update_kb(job.estimator.index)
    assert value(worker, "sedna_iteration") == 1
    assert value(worker, "sedna_deploy_model_info", url="s3://bucket/index.pkl") == 1
    assert job.edge.update_kb("unreadable") is None
    assert value(worker, "sedna_iteration") == 1
    assert state(worker, "sedna_deploy_status", "status") == ["not_ok"]
