"""What the author of a worker script calls, and the numbers that come of it."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text
from support import exposition, value, values


def test_joint_inference_counts_what_happened(worker):
    ji = worker.joint_inference

    @ji.edge_inference
    def infer(x):
        return x

    @ji.cloud_inference
    def ask(x):
        if x % 2:
            raise ConnectionError
        return x

    for x in range(10):
        infer(x)
        ji.hard_sample(x > 5)
        if x > 5:
            try:
                ask(x)
            except ConnectionError:
                pass
    assert value(worker, "sedna_inferences_total", location="edge") == 10
    assert value(worker, "sedna_inferences_total", location="cloud") == 2
    assert value(worker, "sedna_inference_errors_total", location="cloud") == 2
    assert value(worker, "sedna_hard_samples_total") == 4
    assert value(worker, "sedna_inference_samples_total") == 10
    assert value(worker, "sedna_inference_duration_seconds_count", location="edge") == 10


def test_samples_that_are_told_count_instead_of_edge_inferences(worker):
    ji = worker.joint_inference
    for hard in (True, False, True):  # mining-then-inference: each sample goes to one place only
        ji.sample()
        with ji.cloud_inference() if hard else ji.edge_inference():
            pass
    assert value(worker, "sedna_inference_samples_total") == 3


def test_inferences_under_way_are_seen(worker):
    ji = worker.joint_inference
    with ji.edge_inference(), ji.edge_inference():
        assert value(worker, "sedna_inferences_in_progress", location="edge") == 2
    assert value(worker, "sedna_inferences_in_progress", location="edge") == 0


def test_series_exist_only_for_what_the_script_mentions(worker):
    worker.joint_inference.edge_inference  # noqa: B018
    assert value(worker, "sedna_inferences_total", location="edge") == 0
    assert value(worker, "sedna_inferences_total", location="cloud") is None
    assert value(worker, "sedna_hard_samples_total") is None


def test_the_designs_training_snippet(worker, clock):
    il = worker.incremental_learning
    with il.training(samples=100, epochs=4) as training:
        assert value(worker, "sedna_task_stage", task_stage="train") == 1
        assert value(worker, "sedna_stage_status", task_stage="train", status="running") == 1
        for epoch in training.epochs():
            assert value(worker, "sedna_training_epoch") == epoch + 1
            clock.advance(10)
            training.loss(1.0 / (epoch + 1))
            if epoch == 2:
                assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(20)
        training.output_model("s3://key:secret@bucket/model?X-Signature=abc#x")
    assert value(worker, "sedna_training_samples") == 100
    assert value(worker, "sedna_training_epochs") == 4
    assert value(worker, "sedna_training_loss") == 0.25
    assert value(worker, "sedna_training_remaining_seconds") == 0
    assert value(worker, "sedna_training_estimated_completion_timestamp_seconds") == clock.time()
    assert value(worker, "sedna_training_output_model_info", url="s3://bucket/model") == 1
    assert value(worker, "sedna_stage_status", task_stage="train", status="completed") == 1


def test_only_the_latest_model_url_is_there(worker):
    with worker.incremental_learning.training() as training:
        training.output_model("/one")
        training.output_model("/two")
    assert values(worker, "sedna_training_output_model_info") == {(("url", "/two"),): 1}


def test_steps_move_the_progress_within_an_epoch(worker, clock):
    with worker.incremental_learning.training(epochs=2) as training:
        for _ in training.epochs():
            for step in training.steps(range(4)):
                clock.advance(1)
                if step == 3:
                    break
        remaining = value(worker, "sedna_training_remaining_seconds")
    assert remaining == 0
    assert value(worker, "sedna_training_step_duration_seconds_count") >= 6


def test_steps_of_unknown_number_and_unwilling_length_are_fine(worker):
    class Data:
        def __iter__(self):
            return iter([1, 2])

        def __len__(self):
            raise RuntimeError("not now")

    with worker.incremental_learning.training(epochs=1) as training:
        for _ in training.epochs():
            assert list(training.steps(Data())) == [1, 2]
            assert list(training.steps(iter([3]))) == [3]
    assert value(worker, "sedna_training_step_duration_seconds_count") == 3


def test_an_epoch_that_is_left_is_not_done(worker, clock):
    with worker.incremental_learning.training(epochs=10) as training:
        for epoch in training.epochs():
            clock.advance(1)
            if epoch == 2:
                break
        assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(8)


def test_of_a_training_that_failed_nothing_says_when_it_would_have_ended(worker, clock):
    with pytest.raises(RuntimeError), worker.incremental_learning.training(epochs=4) as training:  # noqa: PT012
        with training.epoch(0):
            clock.advance(10)
        assert value(worker, "sedna_training_estimated_completion_timestamp_seconds") == pytest.approx(
            clock.time() + 30
        )
        raise RuntimeError
    assert value(worker, "sedna_training_remaining_seconds") is None
    assert value(worker, "sedna_training_estimated_completion_timestamp_seconds") is None


def test_training_that_raises_has_failed_and_the_exception_is_the_users(worker):
    error = RuntimeError("diverged")
    with pytest.raises(RuntimeError) as caught:  # noqa: SIM117
        with worker.incremental_learning.training(samples=1, epochs=2):
            raise error
    assert caught.value is error
    assert value(worker, "sedna_stage_status", task_stage="train", status="failed") == 1
    assert value(worker, "sedna_worker_last_success_timestamp_seconds") is None


def test_epochs_without_a_plan_say_what_is_missing(worker):
    with worker.incremental_learning.training() as training, pytest.raises(ValueError, match="epochs=10"):
        next(training.epochs())


@pytest.mark.parametrize("loss", [math.nan, math.inf, np.float32("nan")])
def test_a_loss_that_is_not_finite_is_kept_and_counted(worker, loss):
    with worker.incremental_learning.training() as training:
        training.loss(0.5)
        training.loss(loss)
    shown = value(worker, "sedna_training_loss")
    assert not math.isfinite(shown)
    assert value(worker, "sedna_training_nonfinite_losses_total") == 1


def test_nonsense_is_refused_and_the_worker_runs_on(worker, caplog):
    caplog.set_level(logging.WARNING)
    with worker.incremental_learning.training(samples=-5, epochs=1) as training:
        for _ in training.epochs():
            training.loss("low")
    with worker.incremental_learning.evaluation(samples=math.nan) as evaluation:
        evaluation.new_model("/m", precision="good", recall=[], f1=0.5)
    worker.joint_inference.hard_sample(-1)
    assert value(worker, "sedna_training_samples") is None
    assert value(worker, "sedna_training_loss") is None
    assert value(worker, "sedna_eval_score", model="new", metric="precision") is None
    assert value(worker, "sedna_eval_score", model="new", metric="f1") == 0.5
    assert value(worker, "sedna_metrics_rejected_values_total") == 6
    assert caplog.records[0].getMessage() == (
        "sedna_training_samples: invalid value -5: it must be a finite number of 0 or more; "
        "the last valid value is kept"
    )
    named = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert named == ["sedna_training_samples", "sedna_training_loss", "sedna_eval_samples", "sedna_eval_score",
                     "sedna_hard_samples_total"], "one line a minute for each metric"  # fmt: skip


def test_evaluation_compares_new_and_old_by_the_mean_over_classes(worker):
    with worker.incremental_learning.evaluation(samples=7) as evaluation:
        evaluation.new_model("/new?token=1", {"precision": [0.9, 0.8]}, recall=0.5)
        evaluation.old_model("/old", {"precision": np.array([0.7, 0.5])})
    assert value(worker, "sedna_eval_samples") == 7
    assert value(worker, "sedna_eval_score", model="new", metric="precision") == pytest.approx(0.85)
    assert value(worker, "sedna_eval_score", model="new", metric="recall") == 0.5
    assert value(worker, "sedna_eval_score", model="old", metric="precision") == pytest.approx(0.6)
    assert value(worker, "sedna_eval_new_model_info", url="/new") == 1


def test_evaluation_tells_the_time_left(worker, clock):
    with worker.incremental_learning.evaluation() as evaluation:
        for index in evaluation.track(range(5)):
            clock.advance(3)
            if index == 3:
                assert value(worker, "sedna_eval_remaining_seconds") == pytest.approx(6)
    assert value(worker, "sedna_eval_remaining_seconds") == 0


def test_deployment_is_waiting_then_ok_or_not_ok(worker):
    il = worker.incremental_learning
    with il.deployment("/m1"):
        assert value(worker, "sedna_deploy_status", status="waiting") == 1
    assert value(worker, "sedna_deploy_status", status="ok") == 1
    with pytest.raises(OSError, match="disk"), il.deployment("/m2"):
        raise OSError("disk")
    assert value(worker, "sedna_deploy_status", status="not_ok") == 1
    assert value(worker, "sedna_stage_status", task_stage="deploy", status="failed") == 1
    assert values(worker, "sedna_deploy_model_info") == {(("url", "/m1"),): 1}
    il.not_deployed("/m3", "worse")
    assert value(worker, "sedna_stage_status", task_stage="deploy", status="completed") == 1


def test_a_new_iteration_begins_its_counts_at_zero(worker):
    il = worker.incremental_learning
    for number, count in ((1, 3), (2, 5)):
        il.iteration(number)
        for _ in range(count):
            with il.inference():
                pass
            il.hard_sample()
    assert value(worker, "sedna_iteration") == 2
    assert value(worker, "sedna_iteration_inferences") == 5
    assert value(worker, "sedna_iteration_hard_samples") == 5
    assert value(worker, "sedna_inferences_total", location="edge") == 8
    il.iteration(3)
    assert value(worker, "sedna_iteration_inferences") == 0


def test_the_iteration_is_known_from_the_workers_paths(start):
    worker = start({"MODEL_URL": "/output/train/4"})
    worker.incremental_learning  # noqa: B018
    assert value(worker, "sedna_iteration") == 4


def test_a_stage_of_another_name_is_refused(worker):
    worker.incremental_learning.stage("rest", "running")
    worker.incremental_learning.stage("train", "resting")
    worker.incremental_learning.stage("train", "waiting")
    assert value(worker, "sedna_stage_status", task_stage="train", status="waiting") == 1
    assert value(worker, "sedna_metrics_rejected_values_total") == 2


def test_federated_training_waits_for_the_aggregate(start):
    worker = start()
    fl = worker.federated_learning
    fl.train_nodes(3)
    with fl.training(samples=40, epochs=1) as training:
        fl.iteration(1)
        with training.epoch():
            training.loss(0.3)
        assert value(worker, "sedna_train_status", status="running") == 1
        with fl.waiting():
            assert value(worker, "sedna_train_status", status="waiting") == 1
        assert value(worker, "sedna_train_status", status="running") == 1
    assert value(worker, "sedna_train_status", status="completed") == 1
    assert value(worker, "sedna_node_samples", client="worker") == 40
    assert value(worker, "sedna_training_samples") == 40
    assert value(worker, "sedna_train_nodes") == 3
    assert value(worker, "sedna_iteration") == 1
    with pytest.raises(KeyError), fl.training():
        raise KeyError
    assert value(worker, "sedna_train_status", status="failed") == 1


def test_aggregation_is_timed_from_the_first_update(worker, clock):
    fl = worker.federated_learning
    for _ in range(2):
        with fl.aggregation() as aggregation:
            clock.advance(100)  # waiting for the nodes is not aggregation
            aggregation.update("a", samples=10)
            clock.advance(4)
            aggregation.update("b", samples=20)
    with pytest.raises(ValueError, match="nan"), fl.aggregation():
        raise ValueError("nan weights")
    fl.train_nodes(["a", "b"])
    assert value(worker, "sedna_aggregation_round") == 2
    assert value(worker, "sedna_aggregations_total") == 2
    assert value(worker, "sedna_aggregation_duration_seconds_sum") == pytest.approx(8)
    assert value(worker, "sedna_node_samples", client="b") == 20
    assert value(worker, "sedna_train_nodes") == 2
    fl.train_nodes(["b"])
    assert values(worker, "sedna_train_node_info") == {(("client", "b"),): 1}


def test_lifelong_learning_knows_its_tasks(worker):
    ll = worker.lifelong_learning
    ll.unseen_sample(np.bool_(True))
    ll.known_tasks(4)
    ll.task_samples(900)
    with ll.training(samples=9), ll.inference():
        pass
    assert value(worker, "sedna_unseen_samples_total") == 1
    assert value(worker, "sedna_known_tasks") == 4
    assert value(worker, "sedna_task_samples") == 900
    assert value(worker, "sedna_inference_samples_total") == 1


def test_a_stage_that_has_completed_stays_so_when_the_worker_fails_in_a_later_one(start):
    worker = start({"WORKER_NAME": "eval-worker-x"})
    with worker.incremental_learning.training():
        pass
    worker.incremental_learning.stage("eval", "running")
    with pytest.raises(OSError, match="no data"), worker:
        raise OSError("no data")
    statuses = {
        (dict(labels)["task_stage"], dict(labels)["status"])
        for labels, number in values(worker, "sedna_stage_status").items()
        if number
    }
    assert statuses == {("train", "completed"), ("eval", "failed")}


def test_an_inference_that_keeps_failing_is_logged_once_a_minute(start, clock, capsys):
    ji = start(log="json").joint_inference
    for _ in range(3):
        with pytest.raises(OSError), ji.serve():  # noqa: PT011
            raise OSError
    clock.advance(61)
    with pytest.raises(OSError), ji.serve():  # noqa: PT011
        raise OSError
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["suppressed"] for each in events if each.get("event") == "inference.failed"] == [0, 2]


class Hostile:
    """Raises whatever is asked of it."""

    def _raise(self, *_):
        raise RuntimeError("hostile")

    __str__ = __repr__ = __float__ = __eq__ = __bool__ = __len__ = __iter__ = __gt__ = _raise
    __hash__ = None


HOSTILE = [
    None, "x", "", -1, 3, 1.5, math.nan, math.inf, True, [], [1, 2], {"a": 1}, np.array([1, 2]), np.array([]), object(),
    Hostile(), b"\xff", "\ud800", "x" * 100_000, 10**400, 1j,
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
def test_whatever_is_handed_in_nothing_raises_and_the_exposition_stands(clock, value, capfd):
    import sedna_metrics

    # Not by the fixture: an object that raises when it is printed is a failure that the boundary may count.
    listens = {"export": "pull", "host": "127.0.0.1", "port": 0}
    with sedna_metrics.start(**listens, log="json", clock=clock, environ={"JOB_NAME": "task"}) as worker:
        ji, il, fl, ll = (
            worker.joint_inference, worker.incremental_learning, worker.federated_learning, worker.lifelong_learning
        )  # fmt: skip
        for call in (
            ji.hard_sample, ji.sample, il.hard_sample, ll.unseen_sample, ll.known_tasks, ll.task_samples, il.iteration,
            fl.iteration, fl.train_nodes, fl.node_samples, fl.aggregate_received, fl.status, sedna_metrics.progress,
        ):  # fmt: skip
            call(value)
        il.stage(value, "running")
        il.stage("train", value)
        il.not_deployed(value, value)
        fl.node_samples(1, value)
        fl.train_nodes([value])
        with il.training(samples=value, epochs=value) as training:
            training.loss(value)
            training.samples(value)
            training.output_model(value)
            training.progress(value, value)
            training.plan(value)
            with training.epoch(value):
                pass
        with il.evaluation(samples=value) as evaluation:
            evaluation.new_model(value, f1=value)
            evaluation.old_model(value, {"x": value})
            evaluation.new_model("/m", value)
            evaluation.progress(value, value)
        with il.deployment(value), fl.aggregation(value) as aggregation:
            aggregation.update(value, value)
        with fl.training(samples=value, epochs=value):
            pass
        assert list(parse_text(exposition(worker)))


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("alice:secret@minio:9000/m", "minio:9000/m"),
        ("user:p@ss@host/x", "host/x"),
        ("s3://AKIA:ab/cd@minio/bucket/m", "unreadable"),
        ("s3:AK:SK@h/b", "h/b"),
        ("http://h/p;sig=abc", "http://h/p"),
        ("s3://key:secret@bucket/m?X=1#f", "s3://bucket/m"),
        ("/plain/path@2x.png", "/plain/path@2x.png"),
        ("model?token=1", "model"),
    ],
)
def test_no_secret_of_a_url_becomes_a_label(worker, url, label):
    with worker.incremental_learning.training() as training:
        training.output_model(url)
    assert values(worker, "sedna_training_output_model_info") == {(("url", label),): 1}


def test_a_history_without_end_and_a_mock_are_no_loss(worker):
    from unittest.mock import MagicMock

    endless = []
    endless.append(endless)
    with worker.incremental_learning.training() as training:
        training.loss(endless)
        training.loss(MagicMock())
    assert value(worker, "sedna_metrics_rejected_values_total") >= 1


def test_a_counter_is_not_broken_by_what_is_too_much_or_nothing(worker):
    ji = worker.joint_inference
    ji.hard_sample(1e308)
    ji.hard_sample(None)
    ji.hard_sample()
    assert value(worker, "sedna_hard_samples_total") == 1
    assert value(worker, "sedna_metrics_rejected_values_total") == 2


def test_the_number_of_samples_never_falls(worker):
    ji = worker.joint_inference
    for _ in range(10):
        with ji.edge_inference():
            pass
    assert value(worker, "sedna_inference_samples_total") == 10
    ji.sample()
    assert value(worker, "sedna_inference_samples_total") == 10


def test_an_exception_whose_text_infers_and_fails_deadlocks_nobody(worker):
    ji = worker.joint_inference

    class Recursive(Exception):
        def __str__(self):
            with pytest.raises(OSError), ji.edge_inference():  # noqa: PT011
                raise OSError
            return "x"

    with pytest.raises(Recursive), ji.edge_inference():
        raise Recursive
    assert value(worker, "sedna_inference_errors_total", location="edge") >= 2


def test_a_new_training_begins_without_the_loss_of_the_last(worker):
    il = worker.incremental_learning
    with il.training() as training:
        training.loss(0.5)
    with il.training():
        assert value(worker, "sedna_training_loss") is None


def test_scores_of_the_last_evaluation_go_when_a_model_is_evaluated_anew(worker):
    il = worker.incremental_learning
    with il.evaluation() as evaluation:
        evaluation.new_model("/1", precision=0.9, recall=0.8)
        evaluation.old_model("/0", precision=0.7)
    with il.evaluation() as evaluation:
        assert len(values(worker, "sedna_eval_score")) == 3, "they stand until there are others"
        evaluation.new_model("/2", f1=0.6)
        evaluation.new_model("/2", {"map": 0.5})
    assert {labels[0][1]: value for labels, value in values(worker, "sedna_eval_score").items()} == {
        "f1": 0.6,
        "map": 0.5,
        "precision": 0.7,
    }


def test_scores_without_names_are_refused(worker):
    with worker.incremental_learning.evaluation() as evaluation:
        evaluation.new_model("/1", [0.5])
    assert value(worker, "sedna_metrics_rejected_values_total") == 1
    assert values(worker, "sedna_eval_new_model_info")


def test_an_iteration_refused_or_said_again_resets_nothing(worker):
    il = worker.incremental_learning
    il.iteration(1)
    with il.inference():
        pass
    il.iteration(1)
    il.iteration(-1)
    assert value(worker, "sedna_iteration_inferences") == 1
    il.iteration(2)
    assert value(worker, "sedna_iteration_inferences") == 0


def test_a_stage_with_a_status_that_is_none_is_refused_as_a_whole(worker):
    worker.incremental_learning.stage("train", "running")
    worker.incremental_learning.stage("eval", "rnning")
    assert value(worker, "sedna_task_stage", task_stage="train") == 1
    assert value(worker, "sedna_metrics_rejected_values_total") == 1


def test_nodes_that_left_take_their_names_along_and_what_they_had_stays_told(worker):
    fl = worker.federated_learning
    fl.train_nodes(["a", "b"])
    fl.node_samples(3, "a")
    fl.node_samples(4, "b")
    fl.train_nodes("b")
    # As a task ends its nodes leave one by one, and its last state is to tell what they had.
    assert values(worker, "sedna_node_samples") == {(("client", "a"),): 3, (("client", "b"),): 4}
    fl.train_nodes(2)
    assert values(worker, "sedna_train_node_info") == {}
    assert value(worker, "sedna_train_nodes") == 2
    fl.train_nodes(b"abc")
    assert values(worker, "sedna_train_node_info") == {(("client", "abc"),): 1}


def test_an_aggregator_that_names_no_nodes_has_those_whose_update_came(worker):
    fl = worker.federated_learning
    with fl.aggregation() as aggregation:
        aggregation.update("a", 1)
        aggregation.update("b", 2)
    assert value(worker, "sedna_train_nodes") == 2
    fl.train_nodes(3)
    with fl.aggregation() as aggregation:
        aggregation.update("a")
    assert value(worker, "sedna_train_nodes") == 3, "the script knows better"


def test_more_nodes_than_there_may_be_series_are_counted(start):
    worker = start(max_series=10)
    worker.federated_learning.train_nodes([f"node-{n}" for n in range(12)])
    assert len(values(worker, "sedna_train_node_info")) == 10
    assert value(worker, "sedna_metrics_dropped_label_sets_total") == 2


def test_a_deployment_whose_url_cannot_be_told_is_a_deployment(worker):
    class Secret:
        def __str__(self):
            raise OSError("no")

    with worker.incremental_learning.deployment(Secret()):
        pass
    assert value(worker, "sedna_deploy_status", status="ok") == 1


@pytest.mark.parametrize("samples", [500, np.array(500), np.int64(500), 500.0], ids=repr)
def test_samples_of_a_federated_training_are_those_of_the_node_whenever_they_are_known(worker, samples):
    with worker.federated_learning.training(samples=3) as training:
        assert value(worker, "sedna_node_samples", client="worker") == 3
        training.samples(samples)
    assert value(worker, "sedna_node_samples", client="worker") == value(worker, "sedna_training_samples") == 500


@pytest.mark.parametrize(
    "nodes", [3, 3.0, np.array(3), np.int64(3), ("a", "b", "c"), np.array(["a", "b", "c"])], ids=repr
)
def test_train_nodes_are_a_number_or_names(worker, nodes):
    worker.federated_learning.train_nodes(nodes)
    assert value(worker, "sedna_train_nodes") == 3
    assert value(worker, "sedna_metrics_rejected_values_total") == 0


NOT_NUMBERS = [float("nan"), float("inf"), -1, Ellipsis, np.array(-1), np.array("text")]


@pytest.mark.parametrize("bad", NOT_NUMBERS, ids=repr)
def test_a_number_of_train_nodes_that_is_invalid_is_rejected_and_changes_nothing(worker, bad):
    fl = worker.federated_learning
    fl.train_nodes(bad)
    with fl.aggregation() as aggregation:
        aggregation.update("a")
        aggregation.update("b")
    nodes = values(worker, "sedna_train_node_info")
    fl.train_nodes(bad)
    assert value(worker, "sedna_train_nodes") == 2
    assert values(worker, "sedna_train_node_info") == nodes
    assert value(worker, "sedna_metrics_rejected_values_total") == 2


@pytest.mark.parametrize(
    "bad", [float("nan"), float("inf"), -1, "half", b"3", Ellipsis, np.array([1, 2]), [3]], ids=repr
)
@pytest.mark.parametrize("method", [
    lambda task, fl, bad: task.training(epochs=3).epoch(bad).__enter__(),
    lambda task, fl, bad: task.training(epochs=bad),
    lambda task, fl, bad: task.training(samples=bad),
    lambda task, fl, bad: task.evaluation(samples=bad),
    lambda task, fl, bad: fl.training(samples=bad),
    lambda task, fl, bad: fl.aggregation(bad).__enter__().end(),
    lambda task, fl, bad: fl.aggregate_received(bad),
])  # fmt: skip
def test_a_number_that_is_invalid_is_rejected_once(worker, method, bad):
    method(worker.incremental_learning, worker.federated_learning, bad)
    assert value(worker, "sedna_metrics_rejected_values_total") == 1
    assert value(worker, "sedna_metrics_internal_errors_total") == 0
