"""Inner parts fail: the public surface catches it, and the user's code runs on."""

from __future__ import annotations

import asyncio
import importlib
import logging
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, AsyncIterator, Callable, ClassVar, Iterator, List

import pytest
from gateways import answer
from support import samples

import sedna_metrics
from sedna_metrics._exporters import Exporters
from sedna_metrics._worker import Worker
from sedna_metrics.decorators import Observation
from sedna_metrics.exposition.children import Children
from sedna_metrics.exposition.discovery import Target
from sedna_metrics.exposition.http import MetricsServer
from sedna_metrics.exposition.pusher import Pusher
from sedna_metrics.exposition.pushgateway import Pushgateway
from sedna_metrics.exposition.spool import Spool
from sedna_metrics.logs import Log
from sedna_metrics.metrics import CallHistogram, Info, Instruments, State
from sedna_metrics.metrics._families import Family
from sedna_metrics.tasks._context import Task
from sedna_metrics.tasks._evaluation import Deployment, Evaluation
from sedna_metrics.tasks._inference import FailureEvents
from sedna_metrics.tasks._learning import LearningTask
from sedna_metrics.tasks._time_left import TimeLeft
from sedna_metrics.tasks._training import Training
from sedna_metrics.tasks.federated_learning import Aggregation, FederatedLearning


class Injected(Exception):
    """What fails inside."""


class UsersError(Exception):
    """What the user's own function raises."""


def script(worker: Worker) -> List[Any]:
    """What users' scripts do, of every kind; gives all that they got back."""
    return [
        *inference(worker),
        *learning(worker),
        *lifelong(worker),
        *federated(worker),
        *asyncio.run(coroutines(worker)),
    ]


def inference(worker: Worker) -> Iterator[Any]:
    ji = worker.joint_inference

    @ji.edge_inference
    def infer(image: int) -> int:
        return image * 2

    @ji.cloud_inference
    def fail() -> None:
        raise UsersError("the cloud")

    @ji.serve
    def chunks(count: int) -> Iterator[int]:
        yield from range(count)

    yield sum(infer(number) for number in range(600))  # durations are sorted every 256
    for call in (fail, fail):
        try:
            call()
        except UsersError as error:
            yield type(error), error.args
    with ji.edge_inference():
        yield "within"
    try:
        with ji.serve():
            raise UsersError("served")
    except UsersError as error:
        yield error.args
    yield list(chunks(3))
    ji.hard_sample()
    ji.hard_sample(-1)
    ji.sample(3)


def learning(worker: Worker) -> Iterator[Any]:
    il = worker.incremental_learning
    il.iteration(2)
    with il.training(samples=4, epochs=2) as training:
        for epoch in training.epochs():
            yield list(training.steps([1, 2]))
            training.loss(1 / (epoch + 1))
            training.loss([float("nan")])
            training.loss("none")
            yield epoch
        training.output_model("s3://models/new")
    with il.training() as training:
        training.plan(1)
        with training.epoch(0), training.step():
            training.samples(4)
            training.progress(1, 2)
        yield list(training.track([1, 2]))
    try:
        with il.training():
            raise UsersError("training")
    except UsersError as error:
        yield error.args
    with il.evaluation(samples=2) as evaluation:
        yield list(evaluation.track([1, 2]))
        evaluation.new_model("s3://models/new", precision=0.9)
        evaluation.old_model("s3://models/old", {"precision": 0.8})
    try:
        with il.evaluation():
            raise UsersError("evaluation")
    except UsersError as error:
        yield error.args
    with il.deployment("s3://models/new"):
        yield "deployed"
    il.not_deployed("s3://models/new", "worse")
    il.stage("train", "waiting")
    logging.getLogger("user").warning("said %s", "something")
    with il.inference():
        il.hard_sample(True)


def lifelong(worker: Worker) -> Iterator[Any]:
    ll = worker.lifelong_learning
    ll.known_tasks(3)
    ll.task_samples(30)
    ll.unseen_sample()
    ll.sample()
    yield ll.inference(len)("abc")


def federated(worker: Worker) -> Iterator[Any]:
    fl = worker.federated_learning
    with fl.training(samples=5, epochs=1) as training:
        fl.iteration(1)
        yield list(training.epochs())
        with fl.waiting():
            fl.aggregate_received(1)
    fl.train_nodes(["a", "b"])
    fl.status("running")
    with fl.aggregation() as aggregation:
        aggregation.update("a", samples=5)
    yield "aggregated"


class Estimator:
    """Of a script for Sedna's own classes, which are observed."""

    index: ClassVar = {"task_groups": [SimpleNamespace(tasks=[], samples=[1, 2])]}

    def train(self, train_data: Any, **kwargs: Any) -> Any:
        return {"loss": [0.5]}

    def evaluate(self, data: Any, **kwargs: Any) -> Any:
        return {"precision": 0.9}

    def predict(self, data: Any, **kwargs: Any) -> Any:
        if data == 13:
            raise UsersError(data)
        return data


def sedna_script(worker: Worker) -> List[Any]:
    """Unedited scripts of every kind, with stand-ins for Sedna's classes."""

    def of(name: str) -> Any:
        return importlib.import_module(f"sedna.{name}")

    joint = of("core.joint_inference.joint_inference")
    of("service.client").ModelClient.answers = ({"result": "cloud"},)
    edge = joint.JointInference(Estimator(), lambda result: result > 1)
    seen: List[Any] = [edge.inference(1), edge.inference(2), joint.BigModelService(Estimator()).inference(3)]
    incremental = of("core.incremental_learning.incremental_learning").IncrementalLearning(Estimator())
    seen += [incremental.train([1, 2]) is incremental.estimator, incremental.evaluate([1]), incremental.inference(1)]
    try:
        edge.inference(13)
    except UsersError as error:
        seen.append(error.args)
    lifelong = of("core.lifelong_learning.lifelong_learning").LifelongLearning(Estimator())
    seen += [lifelong.train([1]), lifelong.evaluate([1]), lifelong.inference([1, 200])]
    aggregate = {"type": "recv_weight", "data": {"round_number": 1, "exit_flag": "ok"}}
    client = of("service.client").AggregationClient([aggregate], "w")
    federated = of("core.federated_learning.federated_learning").FederatedLearning(Estimator(), client)
    seen.append(federated.train([1, 2]) is federated.estimator)
    return seen


async def coroutines(worker: Worker) -> List[Any]:
    @worker.joint_inference.edge_inference
    async def infer(image: int) -> int:
        return image * 2

    @worker.joint_inference.cloud_inference
    async def items(count: int) -> AsyncIterator[int]:
        for each in range(count):
            yield each

    async with worker.joint_inference.serve():
        return [await infer(2), [each async for each in items(3)]]


@contextmanager
def begun(script: Callable[..., Any] = script) -> Iterator[Worker]:
    with sedna_metrics.start(environ={"JOB_NAME": "task", "NAMESPACE": "n"}, export="off", log="json") as worker:
        if script is sedna_script:
            sedna_metrics.observe_sedna(worker)
        yield worker


#: Inner parts: whatever fails in them is caught at the public surface.
BROKEN = [
    (Worker, "_task_context"), (Worker, "_show_identity"), (Instruments, "_family"), (Instruments, "calls"),
    (Instruments, "gauge"), (Instruments, "counter"), (Family, "get_or_create"), (CallHistogram, "flush_pending"),
    (CallHistogram, "observe"), (State, "set"), (Info, "set"), (Observation, "_wrap"),
    (FailureEvents, "__call__"), (LearningTask, "_set_stage"), (Task, "_begin_iteration"), (TimeLeft, "update"),
    (TimeLeft, "begin_own_units"), (TimeLeft, "finish"), (Training, "__init__"), (Training, "_on_begin"),
    (Training, "_on_end"), (Training, "_begin_loop"), (Training, "_step_done"), (Evaluation, "__init__"),
    (Evaluation, "_score"), (Evaluation, "_on_begin"), (Evaluation, "_on_end"), (Deployment, "_on_begin"),
    (Deployment, "_on_end"), (FederatedLearning, "_set_nodes"), (FederatedLearning, "_set_status"),
    (Aggregation, "__init__"), (Aggregation, "_on_end"), (Log, "__call__"), (Log, "bind"), (Log, "identify"),
]  # fmt: skip
#: Of these, the parts that Sedna's stand-in does not use.
SCRIPT_ALONE = [
    (Observation, "_wrap"), (CallHistogram, "flush_pending"), (CallHistogram, "observe"), (TimeLeft, "update"),
    (TimeLeft, "begin_own_units"), (Training, "_begin_loop"), (Training, "_step_done"),
    (FederatedLearning, "_set_nodes"), (Aggregation, "__init__"), (Aggregation, "_on_end"),
]  # fmt: skip
RUNS = [(script, *part) for part in BROKEN] + [(sedna_script, *part) for part in BROKEN if part not in SCRIPT_ALONE]


@pytest.mark.parametrize(("run", "owner", "name"), RUNS, ids=lambda value: getattr(value, "__name__", value))
def test_a_script_runs_on_where_an_inner_part_always_fails(run, owner, name, sedna, mocker):
    with begun(run) as worker:
        expected = run(worker)
        assert worker.guard.errors() == 0
    with begun(run) as worker:
        broken = mocker.patch.object(owner, name, side_effect=Injected, autospec=False)
        assert run(worker) == expected
        assert broken.called
        assert worker.guard.errors() > 0
        mocker.stopall()


def test_arguments_that_do_not_fit_are_the_callers_error(worker):
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        worker.incremental_learning.training(sample=5)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        worker.incremental_learning.iteration()
    assert worker.guard.errors() == 0


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Exporters, "_render"), (Pusher, "_push"), (Pusher, "_keep"), (Pushgateway, "push"), (Spool, "put"),
        (Children, "refresh"), (Children, "close"), (MetricsServer, "close"), (Target, "close"), (Log, "close"),
    ],
)  # fmt: skip
def test_a_worker_ends_where_an_inner_part_always_fails(gateway, tmp_path, mocker, owner, name):
    ways = {"export": "both", "pushgateway_url": gateway.url, "push_deadline": 0.3, "sd_dir": tmp_path}
    ways["spool_dir"] = tmp_path / "spool"
    gateway.behaviour = answer("503 Service Unavailable")
    broken = mocker.patch.object(owner, name, side_effect=Injected)
    worker = sedna_metrics.start(environ={"JOB_NAME": "task"}, log="json", host="127.0.0.1", port=0, **ways)
    began = time.monotonic()
    worker.flush()
    worker.close()
    assert time.monotonic() - began < 5
    assert sedna_metrics.running() is None
    assert broken.called
    mocker.stopall()
    worker._log.close()  # if its close() was the broken part, it still has the warnings and hooks


@pytest.mark.parametrize(("owner", "name"), [(Exporters, "open")])
def test_a_worker_starts_without_the_part_that_cannot_be(owner, name, monkeypatch):
    def broken(*arguments: Any, **keywords: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(owner, name, broken)
    with sedna_metrics.start(environ={"JOB_NAME": "task"}, export="pull", host="127.0.0.1", port=0) as worker:
        assert worker.guard.errors() == 1
        assert worker.joint_inference.edge_inference(len)("abc") == 3
        assert ("sedna_inferences_total", (("location", "edge"),)) in samples(worker)


def test_what_goes_wrong_does_not_change_how_the_process_ends(tmp_path):
    program = tmp_path / "script.py"
    program.write_text(
        "import sys, sedna_metrics\n"
        "from sedna_metrics.metrics import CallHistogram\n"
        "def broken(*_): raise MemoryError\n"
        "CallHistogram.flush_pending = broken\n"
        "worker = sedna_metrics.start(export='off', log='off')\n"
        "infer = worker.joint_inference.edge_inference(lambda image: image)\n"
        "assert sum(map(infer, range(600))) == 179700\n"
        "sys.exit(3 if worker.guard.errors() == 2 else 4)\n"
    )
    assert subprocess.run([sys.executable, str(program)]).returncode == 3
