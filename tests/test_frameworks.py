"""One contract for the callbacks of all frameworks.

It runs against the real libraries where they are installed (``make test-frameworks``), and against small stand-ins that
call back as the libraries' documentation says.
"""

from __future__ import annotations

import copy
import gc
import math
import os
import pickle
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import requests
from frameworks import real, standins
from support import eventually, samples, value, values

import sedna_metrics
from sedna_metrics import integrations

pytestmark = pytest.mark.filterwarnings("default")  # those of the libraries are their own

EPOCHS, STEPS, SAMPLES = real.EPOCHS, real.STEPS, real.SAMPLES
STEPS_OF = {"xgboost": 1, "lightgbm": 1}
MISSING = real.missing()
FITS = [*((real, name) for name in real.MODULES if name not in MISSING), *((standins, name) for name in real.MODULES)]


RANKS = """
import sedna_metrics.integrations
from frameworks import real

with sedna_metrics.start(export="pull", host="127.0.0.1", port="0", log="json") as worker:
    real.lightning(sedna_metrics.integrations.lightning_callback, strategy="ddp", devices=2)
    if worker.url:  # the first rank
        print("STEPS", int(worker.registry.get_sample_value("sedna_training_step_duration_seconds_count", {
            "task": worker.identity.task, "worker": worker.identity.worker,
        })), flush=True)
"""


def test_the_real_libraries_are_there():
    if MISSING and os.environ.get("FRAMEWORKS") != "required":
        pytest.skip(f"stand-ins alone for {', '.join(MISSING)}: make test-frameworks")
    assert MISSING == []


@pytest.fixture(params=FITS, ids=lambda fit: f"{fit[0].__name__.split('.')[-1]}-{fit[1]}")
def framework(request, monkeypatch):
    module, name = request.param
    if module is standins:
        standins.install(name, monkeypatch)
    return name, getattr(module, name)


@pytest.fixture
def fit(framework):
    name, fit_ = framework

    def run(**options):
        fit_(getattr(integrations, f"{name}_callback"), **options)

    return run


def stage(worker):
    return [dict(labels)["status"] for labels, number in values(worker, "sedna_stage_status").items() if number == 1]


def test_epochs_steps_samples_loss_and_model_are_told(worker, framework, fit):
    with worker.incremental_learning.training():
        fit()
        assert value(worker, "sedna_training_epochs") == EPOCHS
        assert value(worker, "sedna_training_epoch") == EPOCHS
        assert math.isfinite(value(worker, "sedna_training_loss"))
        assert value(worker, "sedna_training_remaining_seconds") == 0
        assert value(worker, "sedna_training_samples") == SAMPLES
        # LightGBM has one hook a round: its first one has no beginning.
        steps = EPOCHS * STEPS_OF.get(framework[0], STEPS) - (framework[0] == "lightgbm")
        assert value(worker, "sedna_training_step_duration_seconds_count") == steps
        models = {(("url", "/m"),): 1} if framework[0] == "huggingface" else {}
        assert values(worker, "sedna_training_output_model_info") == models
    assert value(worker, "sedna_training_nonfinite_losses_total") == 0


def test_a_loss_that_is_no_number_is_seen(worker, fit):
    with worker.incremental_learning.training():
        fit(nan=True)
    assert math.isnan(value(worker, "sedna_training_loss"))
    assert value(worker, "sedna_training_nonfinite_losses_total") >= EPOCHS


def test_a_fit_is_a_training_of_its_own_where_none_is_under_way(worker, fit):
    fit()
    assert stage(worker) == ["completed"]
    assert worker.active_runs == []


def test_a_fit_that_stops_early_is_completed(worker, fit):
    fit(stop=True)
    assert value(worker, "sedna_training_epoch") < EPOCHS
    worker.close()
    assert stage(worker) == ["completed"]


def test_a_fit_that_raises_has_failed_within_a_with_block(worker, fit):
    with pytest.raises(real.Broken), worker.incremental_learning.training():
        fit(fail=True)
    assert stage(worker) == ["failed"]


def test_a_fit_of_its_own_that_raises_has_failed_when_the_worker_closes_at_the_latest(worker, fit):
    with pytest.raises(real.Broken):
        fit(fail=True)
    worker.close()
    assert stage(worker) == ["failed"]
    assert value(worker, "sedna_worker_last_success_timestamp_seconds") is None


def test_a_fit_of_its_own_that_raised_does_not_swallow_the_next(worker, fit):
    with pytest.raises(real.Broken):
        fit(fail=True)
    gc.collect()
    fit()
    assert stage(worker) == ["completed"]


def test_a_fit_that_raised_is_not_joined_by_the_next_one(worker, fit):
    with pytest.raises(real.Broken) as kept:  # the traceback keeps the callback alive
        fit(fail=True)
    fit()
    assert stage(worker) == ["completed"]
    assert worker.active_runs == []
    worker.close()
    assert stage(worker) == ["completed"]
    assert kept


def test_a_loop_after_a_fit_that_raised_is_a_training_of_its_own(worker, fit):
    with pytest.raises(real.Broken) as kept:
        fit(fail=True)
    list(sedna_metrics.epochs(2))
    assert stage(worker) == ["completed"]
    assert kept


def test_a_fit_in_another_thread_does_not_end_the_one_in_progress(worker, fit):
    for _ in sedna_metrics.epochs(1):
        thread = threading.Thread(target=fit)
        thread.start()
        thread.join()
        assert stage(worker) == ["running"]
    assert stage(worker) == ["completed"]


def test_a_fit_in_another_rank_of_the_job_is_not_reported(worker, framework, fit, monkeypatch):
    if framework[1] is real.huggingface:
        pytest.skip("it would wait for the first rank")
    monkeypatch.setenv("LOCAL_RANK", "1")
    before = samples(worker)
    fit()
    with pytest.raises(real.Broken):
        fit(fail=True)
    assert samples(worker) == before
    assert worker.active_runs == []


@pytest.mark.parametrize("how", [copy.deepcopy, lambda callback: pickle.loads(pickle.dumps(callback))])
def test_a_callback_can_be_copied_within_a_fit_and_the_copy_begins_anew(worker, framework, how):
    callbacks = []

    def make(**options):
        callbacks.append(getattr(integrations, f"{framework[0]}_callback")(**options))
        return callbacks[-1]

    with pytest.raises(real.Broken):
        framework[1](make, fail=True)
    copied = how(callbacks[0])
    assert copied.fit is not callbacks[0].fit
    framework[1](lambda **options: copied)
    assert stage(worker) == ["completed"]
    assert value(worker, "sedna_training_epochs") == EPOCHS


def test_a_fit_in_another_thread_is_no_end_of_the_first(worker, monkeypatch):
    standins.install("xgboost", monkeypatch)
    first, second = (integrations.xgboost_callback(rounds=2) for _ in range(2))
    thread = threading.Thread(target=first.before_training, args=[None])
    thread.start()
    thread.join()
    second.before_training(None)
    assert len(worker.active_runs) == 1
    assert second.fit.training is first.fit.training


def test_the_model_of_hugging_face_is_the_best_checkpoint_if_there_is_one(worker, monkeypatch):
    standins.install("huggingface", monkeypatch)
    for best in (None, "/best"):
        callback = integrations.huggingface_callback()
        state = SimpleNamespace(num_train_epochs=1, best_model_checkpoint=best)
        arguments = SimpleNamespace(output_dir="/last")
        callback.on_train_begin(arguments, state, None)
        callback.on_train_end(arguments, state, None)
        assert values(worker, "sedna_training_output_model_info") == {(("url", best or "/last"),): 1}


def test_the_loss_of_a_cross_validation_is_its_mean(worker, monkeypatch):
    standins.install("xgboost", monkeypatch)
    callback = integrations.xgboost_callback(rounds=1)
    callback.before_training(None)
    callback.before_iteration(None, 0, {})
    callback.after_iteration(None, 0, {"train": {"rmse": [(0.25, 0.1)]}})
    assert value(worker, "sedna_training_loss") == 0.25


@pytest.mark.parametrize("resumed_at", [0, 50])
def test_the_time_left_of_hugging_face_is_that_of_max_steps_also_after_a_resume(worker, clock, monkeypatch, resumed_at):
    standins.install("huggingface", monkeypatch)
    callback = integrations.huggingface_callback()
    state = SimpleNamespace(num_train_epochs=4, max_steps=100, global_step=resumed_at, epoch=resumed_at / 30)
    callback.on_train_begin(None, state, None)
    while state.global_step < 95:
        if state.global_step % 30 == 0 or state.global_step == resumed_at:
            callback.on_epoch_begin(None, state, None)
        callback.on_step_begin(None, state, None)
        clock.advance(2)
        state.global_step += 1
        state.epoch = state.global_step / 30
        callback.on_step_end(None, state, None)
        assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(2 * (100 - state.global_step))


def test_the_mean_loss_that_hugging_face_logs_at_the_end_is_not_the_last_loss(worker, monkeypatch):
    standins.install("huggingface", monkeypatch)
    with worker.incremental_learning.training():
        standins.huggingface(integrations.huggingface_callback)
        assert value(worker, "sedna_training_loss") == 0.5


@pytest.mark.parametrize("max_epochs", [-1, 5])
def test_the_time_left_of_lightning_with_max_steps(worker, clock, monkeypatch, max_epochs):
    standins.install("lightning", monkeypatch)
    callback = integrations.lightning_callback()
    trainer = standins.trainer(max_epochs=max_epochs, max_steps=50, estimated_stepping_batches=50)
    callback.on_train_start(trainer, None)
    for step in range(30):
        trainer.current_epoch, batch = divmod(step, STEPS)
        callback.on_train_batch_start(trainer, None, None, batch)
        clock.advance(1)
        trainer.global_step = step + 1
        callback.on_train_batch_end(trainer, None, None, None, batch)
        if batch == STEPS - 1:
            callback.on_train_epoch_end(trainer, None)
        assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(49 - step)


def test_the_loss_of_lightning_is_not_divided_where_gradients_are_accumulated(worker, monkeypatch):
    standins.install("lightning", monkeypatch)
    callback, trainer = integrations.lightning_callback(), standins.trainer(accumulate_grad_batches=4)
    callback.on_train_start(trainer, None)
    callback.on_train_batch_start(trainer, None, None, 0)
    callback.on_train_batch_end(trainer, None, {"loss": 2.0}, None, 0)
    callback.on_train_epoch_end(trainer, None)
    assert value(worker, "sedna_training_loss") == 8


def test_a_score_of_lightgbm_is_not_a_loss(worker):
    callback = integrations.lightgbm_callback()
    evaluated = [("training", "accuracy", 0.9, True)]
    env = SimpleNamespace(model=None, iteration=0, begin_iteration=0, end_iteration=9, evaluation_result_list=evaluated)
    callback(env)
    assert value(worker, "sedna_training_loss") is None
    evaluated.append(("valid", "l2", 0.1, False))
    callback(env)
    assert value(worker, "sedna_training_loss") == 0.1


def test_one_callback_for_every_fold_that_stops_early(start, capsys):
    worker = start(log="json")
    callback = integrations.lightgbm_callback()
    for _ in range(3):
        standins.lightgbm(lambda **_: callback, stop=True)
    # A round has no beginning; the time between two folds is no step.
    assert value(worker, "sedna_training_step_duration_seconds_count") == 0
    worker.close()
    output = capsys.readouterr().out
    assert output.count('"event":"training.completed"') == 3
    assert '"event":"training.failed"' not in output


def test_without_a_worker_a_fit_is_as_it_was(fit):
    fit()
    with pytest.raises(real.Broken):
        fit(fail=True)


def test_a_lightning_fit_that_resumes_within_an_epoch_has_the_right_epoch_and_time_left(worker, clock, monkeypatch):
    standins.install("lightning", monkeypatch)
    callback, trainer = integrations.lightning_callback(), standins.trainer(max_epochs=3, num_training_batches=20)
    trainer.current_epoch = 1
    callback.on_train_start(trainer, None)
    for batch in range(10, 15):  # Lightning leaves on_train_epoch_start out
        callback.on_train_batch_start(trainer, None, None, batch)
        clock.advance(1)
        callback.on_train_batch_end(trainer, None, None, None, batch)
    assert value(worker, "sedna_training_epoch") == 2
    assert value(worker, "sedna_training_remaining_seconds") == pytest.approx(25)
    trainer.checkpoint_callback = SimpleNamespace(best_model_path="/best")
    callback.on_train_end(trainer, None)
    assert values(worker, "sedna_training_output_model_info") == {(("url", "/best"),): 1}


def test_a_real_lightning_fit_that_resumes_within_an_epoch_has_the_right_epoch(worker, tmp_path):
    pytest.importorskip("lightning")
    epochs = []
    real.lightning_resumed(
        integrations.lightning_callback, lambda: epochs.append(value(worker, "sedna_training_epoch")), tmp_path
    )
    assert epochs == [1, 1, 2, 2, 2, 2, 3, 3, 3, 3]


def test_the_loss_of_a_real_lightning_fit_is_not_divided_where_gradients_are_accumulated(worker):
    pytest.importorskip("lightning")
    real.lightning(integrations.lightning_callback, loss=8.0, accumulate_grad_batches=4)
    assert value(worker, "sedna_training_loss") == pytest.approx(8)


def test_the_ranks_of_a_real_lightning_fit_are_one_training(tmp_path):
    pytest.importorskip("lightning")
    script = tmp_path / "script.py"
    script.write_text(RANKS)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    done = subprocess.run([sys.executable, script], env=environ, check=True, capture_output=True, text=True)
    assert done.stdout.count('"event":"training.started"') == done.stdout.count('"event":"training.completed"') == 1
    assert f"STEPS {EPOCHS * STEPS // 2}\n" in done.stdout


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_a_cross_validation_is_a_training_too(worker, name):
    pytest.importorskip(name)
    getattr(real, f"{name}_cv")(getattr(integrations, f"{name}_callback"))
    assert value(worker, "sedna_training_epoch") == EPOCHS
    assert math.isfinite(value(worker, "sedna_training_loss"))
    assert stage(worker) == ["completed"]


def test_what_a_framework_hands_over_wrongly_does_not_reach_the_fit(monkeypatch):
    standins.install("huggingface", monkeypatch)
    callback = integrations.huggingface_callback()
    with sedna_metrics.start(export="off", log="off", environ={}) as worker:
        callback.on_train_begin(None, None, None)
        callback.on_log(None, None, None, logs=[])
        assert value(worker, "sedna_metrics_internal_errors_total") == 1


@pytest.mark.parametrize("name", ["huggingface", "keras", "lightning", "xgboost"])
def test_where_a_framework_is_missing_its_callback_says_which(monkeypatch, name):
    for module in (
        "keras.callbacks", "tensorflow.keras.callbacks", "tf_keras.callbacks", "transformers",
        "lightning.pytorch.callbacks", "pytorch_lightning.callbacks", "xgboost.callback",
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="needs one of"):
        getattr(integrations, f"{name}_callback")()


def test_no_framework_is_imported_before_it_is_asked_for():
    script = (
        "import sys, sedna_metrics.integrations; "
        "print({'keras', 'torch', 'transformers', 'xgboost', 'lightgbm', 'sklearn', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_processes_of_a_data_loader_do_not_disturb_the_metrics(method):
    data = pytest.importorskip("torch.utils.data")
    rows = real.Rows()
    loader = data.DataLoader(rows, batch_size=4, num_workers=2, multiprocessing_context=method)
    with sedna_metrics.start(export="pull", host="127.0.0.1", port="0", log="off") as worker:
        for _ in sedna_metrics.epochs(2):
            assert sum(len(batch) for batch in sedna_metrics.track(loader)) == len(rows)
            assert stage(worker) == ["running"]
        assert stage(worker) == ["completed"]
        assert value(worker, "sedna_training_step_duration_seconds_count") == 2 * len(loader)
        assert value(worker, "sedna_training_epoch") == 2
        # What the data set itself counts, in whatever process, is the worker's.
        count = 2 * len(rows)
        eventually(lambda: requests.get(worker.url) and value(worker, "sedna_hard_samples_total") == count)
        assert value(worker, "sedna_metrics_internal_errors_total") == 0
