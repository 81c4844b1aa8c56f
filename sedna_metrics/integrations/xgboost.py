"""XGBoost: a callback for ``xgboost.train`` and its scikit-learn classes.

Source: ``xgboost.callback.TrainingCallback``.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional, Tuple

from sedna_metrics.integrations._boosting import loss_of
from sedna_metrics.integrations._fit import Fit, callback_of, contained_hook, framework_class


def xgboost_callback(rounds: Optional[int] = None, samples: Optional[int] = None, output_model: object = None) -> Any:
    """A callback for boosting: ``xgboost.train(..., callbacks=[xgboost_callback(rounds=100)])``.

    A boosting round is a step, and an epoch: each goes over all samples. The loss is that of the training data if
    ``evals`` has it. XGBoost does not report that training raised: use a ``with`` block around it.

    Args:
        rounds: number of rounds planned, which XGBoost does not give to callbacks.
        samples: number of training samples, which XGBoost does not give to callbacks.
        output_model: URL of the model after training.

    Raises:
        ImportError: XGBoost is not installed.
    """
    base = framework_class("TrainingCallback", "xgboost.callback")
    callback = callback_of(xgboost_callback, base, _Hooks, rounds=rounds, samples=samples, output_model=output_model)
    callback.rounds = rounds
    return callback


class _Hooks:
    """The methods of the callback; XGBoost uses what they return."""

    fit: Fit
    rounds: Optional[int]

    def before_training(self, model: Any) -> Any:
        self._begins()
        return model

    def before_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        self._round_begins(epoch)
        return False

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        self._round_ends(evals_log)
        return False

    def after_training(self, model: Any) -> Any:
        self._ends()
        return model

    @contained_hook
    def _begins(self) -> None:
        self.fit.begins(self.rounds)

    @contained_hook
    def _round_begins(self, number: int) -> None:
        self.fit.epoch_begins(number)
        self.fit.step_begins()

    @contained_hook
    def _round_ends(self, evals_log: Mapping[str, Any]) -> None:
        self.fit.step_ends()
        self.fit.epoch_ends(loss_of(_latest(evals_log)), is_event=False)  # there may be hundreds in a second

    @contained_hook
    def _ends(self) -> None:
        self.fit.ends()


def _latest(evals_log: Mapping[str, Any]) -> Iterator[Tuple[str, str, Any]]:
    for data, metrics in evals_log.items():
        for metric, history in metrics.items():
            value = history[-1]
            # In a cross-validation it is mean and standard deviation.
            yield data, metric, value[0] if isinstance(value, tuple) else value
