"""Keras: a callback for ``model.fit`` and ``model.evaluate``.

Source: ``keras.callbacks.Callback``; ``params`` has the keys ``epochs`` and ``steps``.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

from sedna_metrics.integrations._fit import Fit, active_run, callback_of, framework_class
from sedna_metrics.tasks._evaluation import Evaluation


def keras_callback(samples: Optional[int] = None) -> Any:
    """A Keras callback: ``model.fit(..., callbacks=[sedna_metrics.keras_callback()])``.

    It records epochs, steps, time left and loss of a ``fit``, and the progress of an ``evaluate``. It is a ``Callback``
    of the Keras that the script uses: ``keras`` where that is imported, else TensorFlow's.

    Args:
        samples: number of training samples, which Keras does not give to callbacks.

    Raises:
        ImportError: Keras is not installed.
    """
    base = framework_class("Callback", "keras.callbacks", "tensorflow.keras.callbacks", "tf_keras.callbacks")
    return callback_of(keras_callback, base, _Hooks, samples=samples)


class _Hooks:
    fit: Fit
    samples: Optional[int]
    params: Mapping[str, Any]

    def on_train_begin(self, logs: Any = None) -> None:
        self.fit.begins(self.params.get("epochs"), self.samples)

    def on_train_end(self, logs: Any = None) -> None:
        self.fit.ends()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.fit.epoch_begins(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.fit.epoch_ends((logs or {}).get("loss"))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.fit.step_begins(batch, self.params.get("steps"))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.fit.step_ends(batch + 1, self.params.get("steps"))

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._evaluated(batch)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._evaluated(batch + 1)

    def _evaluated(self, done: int) -> None:
        steps, run = self.params.get("steps"), active_run()
        # A validation within fit is no evaluation: params are those of the fit then.
        if isinstance(run, Evaluation) and steps:
            run.progress(done, steps)
