"""Fits of the real libraries on a few numbers. Each goes EPOCHS times over SAMPLES samples, in STEPS steps."""

from __future__ import annotations

import os
from importlib.util import find_spec

import numpy as np

import sedna_metrics

EPOCHS, STEPS, SAMPLES = 3, 4, 16
MODULES = {
    "keras": "keras",
    "huggingface": "transformers",
    "lightning": "lightning",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
}


class Broken(Exception):
    """What a fit raises that is told to."""


def data(nan=False):
    generator = np.random.default_rng(1)
    features = generator.normal(size=(SAMPLES, 2)).astype("float32")
    targets = features.sum(axis=1, keepdims=True).astype("float32")
    return features, np.full_like(targets, np.nan) if nan else targets


class Rows:
    """A data set whose rows are counted where they are read: in the processes of a data loader."""

    def __len__(self):
        return 16

    def __getitem__(self, index):
        worker = sedna_metrics.running() or sedna_metrics.start(log="off")
        worker.joint_inference.hard_sample()
        return float(index)


def keras(make, fail=False, nan=False, stop=False):
    os.environ.setdefault("KERAS_BACKEND", "torch")  # read as Keras is imported; its own choice would be TensorFlow
    import keras

    class Troublemaker(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if fail:
                raise Broken

        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = stop

    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer="sgd")
    features, targets = data(nan)
    callbacks = [make(samples=SAMPLES), Troublemaker()]
    model.fit(features, targets, epochs=EPOCHS, batch_size=SAMPLES // STEPS, verbose=0, callbacks=callbacks)


def huggingface(make, fail=False, nan=False, stop=False):
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x, y):
            if fail:
                raise Broken
            return {"loss": ((self.layer(x) - y) ** 2).mean()}

    class Stopper(TrainerCallback):
        def on_epoch_end(self, args, state, control, **data):
            control.should_training_stop = stop

    features, targets = data(nan)
    arguments = TrainingArguments(
        "/m", num_train_epochs=EPOCHS, per_device_train_batch_size=SAMPLES // STEPS, report_to=[], disable_tqdm=True,
        save_strategy="no", logging_strategy="epoch", logging_nan_inf_filter=False, use_cpu=True,
    )  # fmt: skip
    rows = [{"x": x, "y": y} for x, y in zip(features, targets)]
    Trainer(Model(), arguments, train_dataset=rows, callbacks=[make(), Stopper()]).train()


def lightning(make, fail=False, nan=False, stop=False, loss=None, callbacks=(), checkpoint=None, **options):
    import lightning.pytorch as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch, index):
            if fail:
                raise Broken
            squares = ((self.layer(batch[0]) - batch[1]) ** 2).mean()
            return squares if loss is None else squares * 0 + loss

        def on_train_epoch_end(self):
            self.trainer.should_stop = stop

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    loader = DataLoader(TensorDataset(*map(torch.from_numpy, data(nan))), batch_size=SAMPLES // STEPS)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", callbacks=[make(), *callbacks], log_every_n_steps=1,
        min_epochs=1, **{**quiet, **options},
    )  # fmt: skip
    trainer.fit(Model(), loader, ckpt_path=checkpoint)


def lightning_resumed(make, look, folder):
    """A fit that goes on from a checkpoint after two steps of the first epoch; calls ``look`` in each step."""
    import lightning.pytorch as pl

    class Look(pl.Callback):
        def on_train_batch_end(self, *arguments):
            look()

    saved = pl.callbacks.ModelCheckpoint(folder, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    lightning(make, callbacks=[saved], enable_checkpointing=True)
    lightning(make, callbacks=[Look()], checkpoint=folder / "step=2.ckpt")


def xgboost(make, fail=False, nan=False, stop=False):
    import xgboost

    class Troublemaker(xgboost.callback.TrainingCallback):
        def after_iteration(self, model, epoch, evals_log):
            if fail:
                raise Broken
            return stop

    features, targets = data()
    train = xgboost.DMatrix(features, targets)

    def metric(predicted, matrix):
        return "rmsle", float("nan") if nan else float(((predicted - matrix.get_label()) ** 2).mean())

    xgboost.train(
        {"disable_default_eval_metric": True}, train, EPOCHS, evals=[(train, "train")], verbose_eval=False,
        custom_metric=metric, callbacks=[make(rounds=EPOCHS, samples=SAMPLES), Troublemaker()],
    )  # fmt: skip


def lightgbm(make, fail=False, nan=False, stop=False):
    import lightgbm

    def troublemaker(env):
        if fail:
            raise Broken
        if stop:
            raise lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

    def metric(predicted, rows):
        return "loss", float("nan") if nan else float(((predicted - rows.get_label()) ** 2).mean()), False

    features, targets = data()
    rows = lightgbm.Dataset(features, targets[:, 0], params={"min_data_in_bin": 1})
    lightgbm.train(
        {"verbose": -1, "min_data_in_leaf": 1, "metric": "None"}, rows, EPOCHS, valid_sets=[rows],
        valid_names=["training"], feval=metric, callbacks=[make(), troublemaker],
    )  # fmt: skip


def xgboost_cv(make):
    import xgboost

    features, targets = data()
    callbacks = [make(rounds=EPOCHS)]
    xgboost.cv({}, xgboost.DMatrix(features, targets), EPOCHS, nfold=2, callbacks=callbacks)


def lightgbm_cv(make):
    import lightgbm

    features, targets = data()
    rows = lightgbm.Dataset(features, targets[:, 0])
    settings = {"objective": "l2", "verbose": -1, "min_data_in_leaf": 1}
    lightgbm.cv(settings, rows, EPOCHS, nfold=2, stratified=False, callbacks=[make()])


def missing():
    """The frameworks that are not installed."""
    return [name for name, module in MODULES.items() if find_spec(module) is None]
