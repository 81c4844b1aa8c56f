"""Hugging Face: a callback for ``transformers.Trainer``.

Source: ``transformers.TrainerCallback``, ``TrainerState`` and the data that ``CallbackHandler.call_event`` hands on.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from sedna_metrics.integrations._fit import Fit, callback_of, framework_class, guarded, samples_of


def huggingface_callback(samples: Optional[int] = None, output_model: object = None) -> Any:
    """A callback for a Trainer: ``Trainer(..., callbacks=[huggingface_callback()])``.

    It tells epochs, optimizer steps, samples, time left, and the loss as often as the Trainer logs it
    (``logging_strategy``). NaN losses of single steps are left out by the Trainer itself unless
    ``logging_nan_inf_filter=False``. The Trainer does not tell that training raised: a ``with`` block around
    ``train()`` does.

    Args:
        samples: how many samples are trained on, where the data set has no length.
        output_model: where the model is; the best checkpoint, or ``output_dir``, where it is not given.

    Raises:
        ImportError: there is no transformers.
    """
    return callback_of(framework_class("TrainerCallback", "transformers"), _Hooks, Fit(samples, output_model))


class _Hooks:
    """The methods of the callback that tell something."""

    fit: Fit

    @guarded
    def on_train_begin(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        self.fit.begins(state.num_train_epochs, samples_of(data.get("train_dataloader")))

    @guarded
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        # The epoch before is done here, not in on_epoch_end: its loss is logged between the two.
        self.fit.epoch_begins(int(state.epoch or 0))

    @guarded
    def on_step_begin(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        self.fit.step_begins()

    @guarded
    def on_step_end(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        steps = state.max_steps / max(1, state.num_train_epochs)
        self.fit.step_ends(state.global_step % steps or steps, steps)

    @guarded
    def on_log(
        self, args: Any, state: Any, control: Any, logs: Optional[Mapping[str, Any]] = None, **data: Any
    ) -> None:
        logs = logs or {}
        self.fit.loss(logs.get("loss", logs.get("train_loss")))

    @guarded
    def on_train_end(self, args: Any, state: Any, control: Any, **data: Any) -> None:
        self.fit.ends(state.best_model_checkpoint or args.output_dir)
