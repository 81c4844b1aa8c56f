"""Hugging Face: a callback for ``transformers.Trainer``.

Source: ``transformers.TrainerCallback``, ``TrainerState`` and the data that ``CallbackHandler.call_event`` hands on.
"""

from __future__ import annotations

from typing import Any

from sedna_metrics.integrations._fit import Fit, callback_of, framework_class
from sedna_metrics.tasks._context import length


def huggingface_callback() -> Any:
    """A callback for a Trainer: ``Trainer(..., callbacks=[huggingface_callback()])``.

    It records epochs, optimizer steps, samples, time left, and the loss as often as the Trainer logs it
    (``logging_strategy``). The Trainer leaves out NaN losses of single steps unless ``logging_nan_inf_filter=False``.
    It does not report that training raised: use a ``with`` block around ``train()``.

    Raises:
        ImportError: transformers is not installed.
    """
    base = framework_class("TrainerCallback", "transformers")
    return callback_of(huggingface_callback, base, _Hooks)


class _Hooks:
    fit: Fit

    def on_train_begin(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        self.fit.begins(state.num_train_epochs, length(getattr(data.get("train_dataloader"), "dataset", None)))

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        # The epoch before is done here, not in on_epoch_end: its loss is logged between the two.
        self.fit.epoch_begins(int(state.epoch or 0))

    def on_step_begin(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        self.fit.step_begins()
        # max_steps need not be a multiple of the steps in an epoch, so the progress is not that of the epochs.
        self.fit.training.progress(state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        self.fit.step_ends()
        self.fit.training.progress(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **data: Any) -> None:
        self.fit.loss((logs or {}).get("loss"))  # "train_loss", at the end, is the mean of the whole run

    def on_train_end(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        self.fit.ends(state.best_model_checkpoint or args.output_dir)
