"""How Sedna's classes come to be observed: after their import, only in the shape that is known, and undone."""

from __future__ import annotations

import inspect
import sys
import types

import pytest
from support import value

import sedna_metrics
from sedna_metrics import auto

JOINT_INFERENCE = "core.joint_inference.joint_inference"


class Estimator:
    def predict(self, data, threshold=0.5):
        return data


def methods(module, *names):
    return [vars(getattr(module, owner))[method] for owner, method in (name.split(".") for name in names)]


def test_nothing_is_imported_and_nothing_patched_before_its_import(sedna, start):
    with sedna_metrics.observe_sedna(start()):
        assert "sedna" not in sys.modules
        module = sedna(JOINT_INFERENCE)
        assert "JointInference.inference" in module.JointInference.inference.__qualname__
        assert module.JointInference.inference.__wrapped__
        assert module.BigModelService.inference.__wrapped__


def test_sedna_may_have_been_imported_before(sedna, start):
    module = sedna(JOINT_INFERENCE)
    with sedna_metrics.observe_sedna(start()):
        assert module.JointInference.inference.__wrapped__


def test_every_patch_is_undone(sedna, start):
    modules = {hook.module: sedna(hook.module[len("sedna.") :]) for hook in auto.hooks(start())}

    def now():
        return [vars(getattr(modules[hook.module], hook.owner))[hook.method] for hook in hooks]

    hooks = auto.hooks(start())
    before, finders = now(), list(sys.meta_path)
    observed = sedna_metrics.observe_sedna(start())
    assert all(new.__wrapped__ is old for new, old in zip(now(), before))
    observed.close()
    observed.close()
    assert now() == before
    assert sys.meta_path == finders


def test_the_workers_end_undoes_it_too(sedna, start):
    worker = start()
    sedna_metrics.observe_sedna(worker)
    module = sedna(JOINT_INFERENCE)
    worker.close()
    assert not hasattr(module.JointInference.inference, "__wrapped__")


def test_a_second_call_gives_the_same_handle(sedna, start):
    worker = start()
    with sedna_metrics.observe_sedna(worker) as observed:
        assert sedna_metrics.observe_sedna() is observed
        assert observed.worker is worker
    assert sedna_metrics.observe_sedna(worker) is not observed


def test_it_starts_a_worker_where_none_runs(sedna, monkeypatch):
    monkeypatch.setenv("SEDNA_METRICS_EXPORT", "off")
    monkeypatch.setenv("SEDNA_METRICS_LOG", "off")
    observed = sedna_metrics.observe_sedna()
    assert sedna_metrics.running() is observed.worker
    observed.worker.close()
    assert sedna_metrics.running() is None


def test_no_hook_is_skipped_on_the_shapes_that_are_known(sedna, start, caplog):
    with sedna_metrics.observe_sedna(start()):
        for hook in auto.hooks(start()):
            sedna(hook.module[len("sedna.") :])
    assert "is not observed" not in caplog.text


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("del JointInference.inference", "does not exist"),
        ("def inference(self, sample): return 'x'", "takes (self, sample) instead of (self, data, post_process)"),
        ("async def inference(self, data=None, post_process=None): return 'x'", "is asynchronous"),
        ("del JointInference", "does not exist"),
    ],
)
def test_a_method_of_another_shape_is_skipped_with_one_warning_that_names_it(sedna, start, caplog, change, difference):
    module = sedna(JOINT_INFERENCE)
    exec(change, vars(module))
    if "def " in change:
        module.JointInference.inference = module.inference
        before = module.inference
    with sedna_metrics.observe_sedna(start()):
        named = [
            record.getMessage()
            for record in caplog.records
            if f"{JOINT_INFERENCE}.JointInference.inference" in record.getMessage()
        ]
        assert len(named) == 1
        assert difference in named[0]
        assert module.BigModelService.inference.__wrapped__, "the others are observed all the same"
        if "def " in change:
            assert module.JointInference.inference is before


@pytest.mark.parametrize("kind", [ValueError, StopIteration, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_whatever_a_method_raises_reaches_the_script_and_is_no_failure_of_ours(sedna, start, kind):
    module, error, worker = sedna(JOINT_INFERENCE), kind("why"), start()

    def inference(self, data=None, post_process=None):
        raise error

    module.JointInference.inference = inference
    with sedna_metrics.observe_sedna(worker):
        job = module.JointInference(Estimator())
        with pytest.raises(kind) as raised:
            job.inference(1)
    assert raised.value is error
    assert value(worker, "sedna_inference_samples_total") == 1
    assert worker.guard.errors() == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("moment", ["sample", "hard_sample"])  # before the method, and after it
def test_an_interrupt_while_an_observer_runs_reaches_the_script(sedna, start, mocker, kind, moment):
    module, worker = sedna(JOINT_INFERENCE), start()

    def inference(self, data=None, post_process=None):
        return [True, 1, 1, 1]

    module.JointInference.inference = inference
    with sedna_metrics.observe_sedna(worker):
        job = module.JointInference(Estimator())
        mocker.patch.object(worker.joint_inference, moment, side_effect=kind)
        with pytest.raises(kind):
            job.inference(1)


def test_a_later_sedna_may_take_more_arguments(sedna, start, caplog):
    module = sedna(JOINT_INFERENCE)

    def inference(self, data=None, post_process=None, deadline=None, **kwargs):
        return [True, data, deadline, kwargs]

    module.JointInference.inference = inference
    worker = start()
    with sedna_metrics.observe_sedna(worker):
        job = module.JointInference(Estimator())
        assert job.inference(1, deadline=2, more=3) == [True, 1, 2, {"more": 3}]
    assert not caplog.records
    assert value(worker, "sedna_hard_samples_total") == 1


def test_the_other_package_called_sedna_is_left_alone(tmp_path, monkeypatch, start, caplog):
    for path in ("sedna/__init__.py", "sedna/core/__init__.py", "sedna/core/base.py", "sedna/common/__init__.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("class JobBase:\n    def report_task_info(self, task_info, status): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with sedna_metrics.observe_sedna(start()):
            from sedna.core import base

            assert not hasattr(base.JobBase.report_task_info, "__wrapped__")
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "sedna"]:
            del sys.modules[name]
    assert not caplog.records


def test_what_sedna_says_of_its_signatures_stays(sedna, start):
    module = sedna(JOINT_INFERENCE)
    before = inspect.getfullargspec(module.JointInference.inference)
    with sedna_metrics.observe_sedna(start()):
        inference = module.JointInference.inference
        assert inspect.getfullargspec(inference) == before
        assert inference.__doc__ == "Infers, then mines; or the other way round."
        assert inference.__name__ == "inference"


def test_the_users_estimator_is_called_as_without_us_and_is_not_touched(sedna, start):
    calls = []

    class Recording:
        def predict(self, *args, **kwargs):
            calls.append((args, kwargs))
            return "result"

    before = dict(vars(Recording))
    estimator = Recording()
    with sedna_metrics.observe_sedna(start()):
        job = sedna(JOINT_INFERENCE).JointInference(estimator)
        assert job.inference(7, threshold=1) == [False, "result", "result", None]
    assert calls == [((7,), {"threshold": 1})]
    assert dict(vars(Recording)) == before
    assert vars(estimator) == {}


def test_a_module_keeps_the_loader_that_it_would_have_had(sedna, start):
    plain = sedna(JOINT_INFERENCE)
    loader = type(plain.__loader__)
    for name in [name for name in sys.modules if name.startswith("sedna.core")]:
        del sys.modules[name]
    with sedna_metrics.observe_sedna(start()):
        module = sedna(JOINT_INFERENCE)
        assert module is not plain
        assert type(module.__loader__) is type(module.__spec__.loader) is loader
        assert "def inference" in inspect.getsource(module)


def test_a_module_that_fails_to_import_fails_as_without_us_and_is_observed_at_the_next_try(sedna, start, monkeypatch):
    client = types.ModuleType("sedna.service.client")  # has no ModelClient, which the module wants
    monkeypatch.setitem(sys.modules, "sedna.service.client", client)
    with sedna_metrics.observe_sedna(start()):
        with pytest.raises(ImportError, match="ModelClient"):
            sedna(JOINT_INFERENCE)
        monkeypatch.delitem(sys.modules, "sedna.service.client")
        assert sedna(JOINT_INFERENCE).JointInference.inference.__wrapped__


def test_two_watches_do_not_go_in_circles(sedna, start):
    from sedna_metrics._imports import ImportWatch

    seen = []
    other = ImportWatch({f"sedna.{JOINT_INFERENCE}": seen.append})
    with sedna_metrics.observe_sedna(start()):
        other.install()
        try:
            module = sedna(JOINT_INFERENCE)
        finally:
            other.remove()
    assert seen == [module]


@pytest.mark.parametrize(
    ("module", "base"), [("core.base", "JobBase"), ("core.multi_edge_inference.components", "BaseService")]
)
def test_a_class_in_use_that_is_not_observed_is_named_once(sedna, start, caplog, module, base):
    with sedna_metrics.observe_sedna(start()):
        sedna(JOINT_INFERENCE).JointInference(Estimator())
        sedna("core.multi_edge_inference.components.reid").ReID()
        assert not caplog.records
        later = type("LaterLearning", (getattr(sedna(module), base),), {})
        later(Estimator())
        later(Estimator())
    (record,) = caplog.records
    assert record.getMessage().startswith("LaterLearning is not observed")


def test_a_class_of_the_scripts_own_that_rests_on_an_observed_one_is_observed(sedna, start, caplog):
    with sedna_metrics.observe_sedna(start()):
        type("Own", (sedna(JOINT_INFERENCE).JointInference,), {})(Estimator())
    assert not caplog.records


class Broken:
    """A task of which every recorder raises."""

    def __getattr__(self, name):
        raise RuntimeError("broken inside")


@pytest.fixture
def broken(request, start, monkeypatch):
    request.node.add_marker("internal_errors")
    worker = start()
    for task in ("joint_inference", "incremental_learning", "federated_learning", "lifelong_learning"):
        monkeypatch.setattr(sedna_metrics.Worker, task, property(lambda self: Broken()))
    return worker


def test_a_failure_of_ours_changes_nothing_for_the_worker(sedna, broken):
    class Learner(Estimator):
        def train(self, train_data, **kwargs):
            return 0.5

        def evaluate(self, data, model_path=""):
            return {"f1": 1}

    with sedna_metrics.observe_sedna(broken):
        client = sedna("service.client")
        client.ModelClient.answers = ({"result": "cloud"}, ConnectionError("gone"))
        job = sedna(JOINT_INFERENCE).JointInference(Estimator(), lambda x: True)
        assert job.inference(1) == [True, "cloud", 1, "cloud"]
        job.mining_first = True
        with pytest.raises(ConnectionError, match="gone"):
            job.inference(1)
        assert sedna(JOINT_INFERENCE).BigModelService(Estimator()).inference(3) == 3
        learning = sedna("core.incremental_learning.incremental_learning").IncrementalLearning(Learner())
        assert learning.train([1]) is learning.estimator
        assert len(learning.evaluate([1])) == 2
        assert learning.inference(5) == (5, 5, False)
        lifelong = sedna("core.lifelong_learning.lifelong_learning").LifelongLearning(Learner())
        assert lifelong.inference([500]) == ([500], True, [])
        node = client.AggregationClient(
            [{"type": "recv_weight", "data": {"round_number": 1, "exit_flag": "ok"}}], "node"
        )
        federated = sedna("core.federated_learning.federated_learning").FederatedLearning(Learner(), node)
        assert federated.train([1, 2]) is federated.estimator
