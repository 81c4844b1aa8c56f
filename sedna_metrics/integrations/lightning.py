"""Lightning: a callback for its ``Trainer``.

Source: ``lightning.pytorch.Callback``, and the properties of its ``Trainer``.
"""

from __future__ import annotations

from typing import Any, Mapping

from sedna_metrics.integrations._fit import Fit, callback_of, framework_class
from sedna_metrics.tasks._context import length


def lightning_callback() -> Any:
    """A callback for a Trainer: ``Trainer(..., callbacks=[lightning_callback()])``.

    It records epochs, steps, samples, time left, the last loss of each epoch, and a ``fit`` that raised. It is a
    ``Callback`` of the package that the script uses: ``lightning``, or ``pytorch_lightning``.

    Raises:
        ImportError: Lightning is not installed.
    """
    base = framework_class("Callback", "lightning.pytorch.callbacks", "pytorch_lightning.callbacks")
    return callback_of(lightning_callback, base, _Hooks)


class _Hooks:
    fit: Fit
    _loss: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        epochs = trainer.max_epochs if (trainer.max_epochs or -1) > 0 and trainer.max_steps < 0 else None
        self.fit.begins(epochs, length(getattr(trainer.train_dataloader, "dataset", None)))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.fit.epoch_ends(self._loss)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if not self.fit.in_epoch:  # not in on_train_epoch_start: a fit that resumes within an epoch leaves that out
            self.fit.epoch_begins(trainer.current_epoch)
        self.fit.step_begins(batch_idx, trainer.num_training_batches)
        self._report_steps(trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.fit.step_ends(batch_idx + 1, trainer.num_training_batches)
        self._report_steps(trainer)
        # Only kept here: reading a tensor's value at each step would make a GPU wait. Lightning has divided the loss.
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        self._loss = None if loss is None else loss * trainer.accumulate_grad_batches

    def _report_steps(self, trainer: Any) -> None:
        if trainer.max_steps > 0:
            # With max_epochs beside it, the smaller of the two: Lightning's own estimate of all steps.
            self.fit.training.progress(trainer.global_step, trainer.estimated_stepping_batches)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.fit.ends(getattr(trainer.checkpoint_callback, "best_model_path", None))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.fit.leaves(exception)
