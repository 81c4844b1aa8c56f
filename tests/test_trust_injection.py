"""An exception is raised at each call into our own modules, one after the other: the user's code does not see it."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import os
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from types import CodeType, FrameType, SimpleNamespace
from typing import Any, AsyncIterator, Callable, ClassVar, Iterator, List, Optional, Tuple

import pytest

import sedna_metrics
from sedna_metrics._exporters import Exporters
from sedna_metrics._signals import Signals
from sedna_metrics._worker import Worker
from sedna_metrics.decorators import Observation, Span
from sedna_metrics.metrics import Instruments
from sedna_metrics.tasks._evaluation import Evaluation
from sedna_metrics.tasks._loops import Epochs, Steps
from sedna_metrics.tasks._time_left import TimeLeft
from sedna_metrics.tasks._training import Training

Place = Tuple[str, str, int]
"""Of a function of ours: its file, name and line."""
PACKAGE = os.path.dirname(sedna_metrics.__file__) + os.sep


class Injected(Exception):
    """What fails inside."""


class UsersError(Exception):
    """What the user's own function raises."""


def is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(PACKAGE)


def is_inner(frame: FrameType) -> bool:
    """Whether our code is called by our code: what the user calls is where the boundary stands, not behind it."""
    caller = frame.f_back
    return is_ours(frame.f_code) and caller is not None and is_ours(caller.f_code)


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


BOUNDARY = {
    # Three methods of a few lines, called where something of ours is to be kept from the user.
    ("_boundary.py", "__enter__"),
    ("_boundary.py", "__exit__"),
    ("_boundary.py", "reject"),
    # Where a method of Sedna's is called: what takes its place, one in the other.
    ("decorators.py", "wrapper"),
    ("auto/_hooks.py", "wrapper"),
    ("auto/joint_inference.py", "checked"),
}


def traced(run: Callable[[], Any], on_call: Callable[[FrameType], None]) -> Any:
    def trace(frame: FrameType, event: str, argument: object) -> Optional[Callable[..., Any]]:
        if event == "call" and is_inner(frame):
            on_call(frame)
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return run()
    finally:
        sys.settrace(before)


def key(code: CodeType) -> Place:
    return code.co_filename[len(PACKAGE) :], code.co_name, code.co_firstlineno


@contextmanager
def begun(script: Callable[..., Any] = script) -> Iterator[Worker]:
    with sedna_metrics.start(environ={"JOB_NAME": "task", "NAMESPACE": "n"}, export="off", log="json") as worker:
        if script is sedna_script:
            sedna_metrics.observe_sedna(worker)
        yield worker


def occasions(calls: List[Place]) -> Iterator[Tuple[Place, int]]:
    """Which call of a place is to fail: its first three and its last, or each where EVERY_CALL is set."""
    for place, count in Counter(calls).items():
        every = range(1, count + 1)
        yield from ((place, nth) for nth in sorted({*every[:3], count} if "EVERY_CALL" not in os.environ else every))


def fails(place: Place, nth: int) -> Callable[[FrameType], None]:
    calls = itertools.count(1)

    def fail_there(frame: FrameType) -> None:
        if key(frame.f_code) == place and next(calls) == nth:
            raise Injected(place)

    return fail_there


@pytest.mark.parametrize("script", [script, sedna_script])
def test_no_call_inside_can_fail_into_the_users_code(script, sedna, capsys, caplog):
    with begun(script) as worker:
        expected = script(worker)
        refused = worker.guard.rejected()
    called: List[Place] = []
    with begun(script) as worker:
        assert traced(lambda: script(worker), lambda frame: called.append(key(frame.f_code))) == expected
    calls = [place for place in called if place[:2] not in BOUNDARY]
    assert len(set(calls)) >= 150

    differing, told = [], set()
    for place, nth in occasions(calls):
        with begun(script) as worker:
            try:
                result = traced(lambda worker=worker: script(worker), fails(place, nth))
                if result != expected:
                    differing.append((place, nth, result))
            except Exception as error:
                differing.append((place, nth, repr(error)))
            if worker.guard.errors() or worker.guard.rejected() > refused:
                told.add(place)
        caplog.clear()
        capsys.readouterr()
    assert differing == []
    # A line of log that fails says so itself; where telling fails, nothing is left to tell it.
    assert {place for place in set(calls) - told if not place[0].startswith(("logs/", "_boundary.py"))} == set()


def last_words(worker: Worker) -> str:
    worker.flush()
    worker.close()
    return "closed"


def where_last_words_fail(url: str, folder: str) -> List[Any]:
    """Calls whose failure gets out of ``flush()`` or ``close()``, of a worker that is scraped and pushes to ``url``."""

    def listening() -> Worker:
        ways = {"export": "both", "pushgateway_url": url, "push_deadline": 0.2, "sd_dir": folder}
        return sedna_metrics.start(environ={"JOB_NAME": "task"}, log="json", host="127.0.0.1", port=0, **ways)

    called: List[Place] = []
    worker = listening()
    traced(lambda: last_words(worker), lambda frame: called.append(key(frame.f_code)))
    calls = [place for place in called if place[:2] not in BOUNDARY]
    assert len(set(calls)) >= 10
    differing = []
    for place, nth in occasions(calls):
        worker = listening()
        try:
            if traced(lambda worker=worker: last_words(worker), fails(place, nth)) != "closed":
                differing.append((place, nth))
        except Exception as error:
            differing.append((place, nth, repr(error)))
    return differing


def test_no_call_inside_can_fail_into_a_flush_or_a_close(gateway, tmp_path):
    # In a process of its own: where stopping a thread fails, it goes on.
    program = (
        f"import test_trust_injection as t\nassert t.where_last_words_fail({gateway.url!r}, {str(tmp_path)!r}) == []"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=os.path.dirname(__file__), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]


BROKEN = (
    (Worker, "_task"),
    (Instruments, "_family"),
    (Instruments, "latency"),
    (Training, "__init__"),
    (Evaluation, "__init__"),
    (Observation, "_wrap"),
    (Span, "__init__"),
    (Epochs, "__init__"),
    (Steps, "__init__"),
    (TimeLeft, "tell"),
)


@pytest.mark.parametrize(("owner", "name"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_a_script_runs_on_where_a_part_of_ours_never_works(owner, name, monkeypatch):
    with begun() as worker:
        expected = script(worker)

    def broken(*arguments: Any, **keywords: Any) -> Any:
        raise Injected

    with begun() as worker:
        monkeypatch.setattr(owner, name, broken)
        assert script(worker) == expected
        assert worker.guard.errors() >= 1


@pytest.mark.parametrize(("owner", "name"), [(Worker, "_open_log"), (Exporters, "open"), (Signals, "install")])
def test_a_worker_starts_without_the_part_that_cannot_be(owner, name, monkeypatch):
    def broken(*arguments: Any, **keywords: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(owner, name, broken)
    with sedna_metrics.start(environ={"JOB_NAME": "task"}, export="pull", host="127.0.0.1", port=0) as worker:
        assert worker.guard.errors() == 1
        assert worker.joint_inference.edge_inference(len)("abc") == 3
        assert ("sedna_inferences_total", (("location", "edge"),)) in worker._instruments.samples()


def test_what_goes_wrong_does_not_change_how_the_process_ends(tmp_path):
    program = tmp_path / "script.py"
    program.write_text(
        "import sys, sedna_metrics\n"
        "from sedna_metrics.metrics import CallHistogram\n"
        "def broken(*_): raise MemoryError\n"
        "CallHistogram.fold = broken\n"
        "worker = sedna_metrics.start(export='off', log='off')\n"
        "infer = worker.joint_inference.edge_inference(lambda image: image)\n"
        "assert sum(map(infer, range(600))) == 179700\n"
        "sys.exit(3 if worker.guard.errors() == 2 else 4)\n"
    )
    assert subprocess.run([sys.executable, str(program)]).returncode == 3
