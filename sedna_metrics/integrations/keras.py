"""Keras: a callback for ``model.fit`` and ``model.evaluate``.

Source: ``keras.callbacks.Callback``; ``params`` has the keys ``epochs`` and ``steps``.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from sedna_metrics.integrations._fit import Fit, callback_of, framework_class, guarded
from sedna_metrics.integrations._running import active_runs
from sedna_metrics.tasks._evaluation import Evaluation

Logs = Optional[Mapping[str, Any]]


def keras_callback(samples: Optional[int] = None, output_model: object = None) -> Any:
    """A Keras callback: ``model.fit(..., callbacks=[sedna_metrics.keras_callback()])``.

    It tells epochs, steps, time left and loss of a ``fit``, and the progress of an ``evaluate``. It is a ``Callback``
    of the Keras that the script uses: ``keras`` where that is imported, else TensorFlow's.

    Args:
        samples: how many samples are trained on: Keras does not tell.
        output_model: where the model is once the ``fit`` has ended.

    Raises:
        ImportError: there is no Keras.
    """
    base = framework_class("Callback", "keras.callbacks", "tensorflow.keras.callbacks", "tf_keras.callbacks")
    return callback_of(base, _Hooks, Fit(samples, output_model))


class _Hooks:
    """The methods of the callback that tell something."""

    fit: Fit
    params: Optional[Mapping[str, Any]] = None

    @guarded
    def on_train_begin(self, logs: Logs = None) -> None:
        self.fit.begins((self.params or {}).get("epochs"))

    @guarded
    def on_train_end(self, logs: Logs = None) -> None:
        self.fit.ends()

    @guarded
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.fit.epoch_begins(epoch)

    @guarded
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.fit.epoch_ends((logs or {}).get("loss"))

    @guarded
    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self.fit.step_begins()

    @guarded
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.fit.step_ends(batch + 1, (self.params or {}).get("steps"))

    @guarded
    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        steps, run = (self.params or {}).get("steps"), active_runs()
        # A validation within fit tells nothing of an evaluation: params are those of the fit then.
        if isinstance(run, Evaluation) and steps:
            run.progress(batch + 1, steps)
