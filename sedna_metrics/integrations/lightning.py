"""Lightning: a callback for its ``Trainer``.

Source: ``lightning.pytorch.Callback``, and the properties of its ``Trainer``.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from sedna_metrics.integrations._fit import Fit, callback_of, framework_class, guarded, samples_of


def lightning_callback(samples: Optional[int] = None, output_model: object = None) -> Any:
    """A callback for a Trainer: ``Trainer(..., callbacks=[lightning_callback()])``.

    It tells epochs, steps, samples, time left, the last loss of each epoch, and a ``fit`` that raised. It is a
    ``Callback`` of the package that the script uses: ``lightning``, or ``pytorch_lightning``.

    Args:
        samples: how many samples are trained on, where the data set has no length.
        output_model: where the model is; the best checkpoint where it is not given.

    Raises:
        ImportError: there is no Lightning.
    """
    base = framework_class("Callback", "lightning.pytorch.callbacks", "pytorch_lightning.callbacks")
    return callback_of(base, _Hooks, Fit(samples, output_model))


class _Hooks:
    """The methods of the callback that tell something."""

    fit: Fit
    _loss: Any = None

    @guarded
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.fit.begins(trainer.max_epochs, samples_of(trainer.train_dataloader))

    @guarded
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.fit.epoch_begins(trainer.current_epoch)

    @guarded
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.fit.epoch_ends(self._loss)

    @guarded
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.fit.step_begins()

    @guarded
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.fit.step_ends(batch_idx + 1, trainer.num_training_batches)
        # Only kept here: to read a tensor's number at each step would make a GPU wait.
        self._loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.fit.ends(getattr(trainer.checkpoint_callback, "best_model_path", None))

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.fit.fails(exception)
