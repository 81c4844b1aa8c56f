"""Stand-ins for the frameworks: they call back in the order that the frameworks' documentation says, and do no more."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace as Data

from frameworks.real import EPOCHS, SAMPLES, STEPS, Broken

NAN = float("nan")


class Base:
    """A framework's own class of callbacks: each hook is there, and does nothing."""

    def __getattr__(self, name):
        if not name.startswith(("on_", "set_", "before_", "after_")):
            raise AttributeError(name)
        return lambda *arguments, **keywords: None

    def before_training(self, model):  # XGBoost
        return model

    after_training = before_training

    def after_iteration(self, model, epoch, evals_log):
        return False

    before_iteration = after_iteration

    def set_params(self, params):  # Keras
        self.params = params


CLASSES = {
    "keras": ("keras.callbacks", "Callback"),
    "huggingface": ("transformers", "TrainerCallback"),
    "lightning": ("lightning.pytorch.callbacks", "Callback"),
    "xgboost": ("xgboost.callback", "TrainingCallback"),
}


def install(name, monkeypatch):
    """Put a module into ``sys.modules`` that has the class which our callback derives from; LightGBM needs none."""
    if name not in CLASSES:
        return
    path, class_ = CLASSES[name]
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        module = types.ModuleType(".".join(parts[:end]))
        module.__path__ = []
        monkeypatch.setitem(sys.modules, module.__name__, module)
    setattr(module, class_, Base)


def losses(nan):
    return NAN if nan else 0.5


def keras(make, fail=False, nan=False, stop=False):
    callback = make(samples=SAMPLES)
    callback.set_params({"epochs": EPOCHS, "steps": STEPS, "verbose": 0})
    callback.on_train_begin({})
    for epoch in range(EPOCHS):
        callback.on_epoch_begin(epoch, {})
        for batch in range(STEPS):
            callback.on_train_batch_begin(batch, {})
            callback.on_train_batch_end(batch, {"loss": losses(nan)})
            if fail:
                raise Broken
        callback.on_epoch_end(epoch, {"loss": losses(nan), "val_loss": 3.0})
        if stop:
            break
    callback.on_train_end({})


def huggingface(make, fail=False, nan=False, stop=False):
    callback = make()
    state = Data(
        num_train_epochs=EPOCHS, max_steps=EPOCHS * STEPS, global_step=0, epoch=0.0, best_model_checkpoint=None
    )
    common = (Data(output_dir="/m"), state, Data())
    callback.on_train_begin(*common, train_dataloader=Data(dataset=range(SAMPLES)))
    for _ in range(EPOCHS):
        callback.on_epoch_begin(*common)
        for _ in range(STEPS):
            callback.on_step_begin(*common)
            if fail:
                raise Broken
            state.global_step += 1
            state.epoch = state.global_step / STEPS
            callback.on_step_end(*common)
        callback.on_epoch_end(*common)
        callback.on_log(*common, logs={"loss": losses(nan), "epoch": state.epoch})
        if stop:
            break
    callback.on_log(*common, logs={"train_loss": NAN if nan else 7.0, "epoch": state.epoch})
    callback.on_train_end(*common)


def trainer(**options):
    """What our callback reads of Lightning's Trainer."""
    defaults = {
        "max_epochs": EPOCHS, "num_training_batches": STEPS, "current_epoch": 0, "max_steps": -1, "global_step": 0,
        "train_dataloader": Data(dataset=range(SAMPLES)), "checkpoint_callback": None, "accumulate_grad_batches": 1,
        "estimated_stepping_batches": EPOCHS * STEPS,
    }  # fmt: skip
    return Data(**{**defaults, **options})


def lightning(make, fail=False, nan=False, stop=False):
    callback = make()
    trainer_ = trainer()
    callback.on_train_start(trainer_, None)
    try:
        for trainer_.current_epoch in range(EPOCHS):
            callback.on_train_epoch_start(trainer_, None)
            for batch in range(STEPS):
                callback.on_train_batch_start(trainer_, None, None, batch)
                if fail:
                    raise Broken
                callback.on_train_batch_end(trainer_, None, {"loss": losses(nan)}, None, batch)
            callback.on_train_epoch_end(trainer_, None)
            if stop:
                break
    except BaseException as error:
        callback.on_exception(trainer_, None, error)
        raise
    callback.on_train_end(trainer_, None)


def xgboost(make, fail=False, nan=False, stop=False):
    callback = make(rounds=EPOCHS, samples=SAMPLES)
    model, log = callback.before_training("model"), {"train": {"auc": [0.9], "logloss": []}}
    assert model == "model"
    for number in range(EPOCHS):
        assert callback.before_iteration(model, number, log) is False
        log["train"]["logloss"].append(losses(nan))
        if fail:
            raise Broken
        if callback.after_iteration(model, number, log) or stop:
            break
    assert callback.after_training(model) == "model"


def lightgbm(make, fail=False, nan=False, stop=False):
    callback = make()
    model = Data(train_set=Data(num_data=lambda: SAMPLES), best_iteration=-1)
    assert not callback.before_iteration
    for number in range(EPOCHS):
        evaluated = [
            ("valid", "l2", 9.0, False),
            ("training", "auc", 0.9, True),
            ("training", "l2", losses(nan), False),
        ]
        callback(
            Data(
                model=model, params={}, iteration=number, begin_iteration=0, end_iteration=EPOCHS,
                evaluation_result_list=evaluated,
            )
        )  # fmt: skip
        if fail:
            raise Broken
        if stop:  # EarlyStopException, which lightgbm.train catches
            model.best_iteration = number + 1
            return
