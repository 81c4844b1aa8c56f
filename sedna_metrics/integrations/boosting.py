"""XGBoost and LightGBM. A boosting round is a step, and an epoch: each goes over all samples.

Source: ``xgboost.callback.TrainingCallback``, ``lightgbm.callback.CallbackEnv``.
"""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping, Optional, Tuple

from sedna_metrics.integrations._fit import Fit, callback_of, framework_class

_XGBOOST_SCORES = ("auc", "aucpr", "average_precision", "map", "ndcg", "pre")
"""Metrics for which higher is better. Written "ndcg@5" with a cut-off."""


def xgboost_callback(rounds: Optional[int] = None, samples: Optional[int] = None) -> Any:
    """A callback for boosting: ``xgboost.train(..., callbacks=[xgboost_callback(rounds=100)])``.

    The loss is that of the training data if ``evals`` has it. XGBoost does not report that training raised: use a
    ``with`` block around it.

    Args:
        rounds: number of rounds planned, which XGBoost does not give to callbacks.
        samples: number of training samples, which XGBoost does not give to callbacks.

    Raises:
        ImportError: XGBoost is not installed.
    """
    base = framework_class("TrainingCallback", "xgboost.callback")
    return callback_of(xgboost_callback, base, _XGBoost, rounds=rounds, samples=samples)


def lightgbm_callback() -> Any:
    """A callback for boosting: ``lightgbm.train(..., callbacks=[lightgbm_callback()])``.

    A step is timed from the end of the one before. The loss is that of the training data if ``valid_sets`` has it.
    Early stopping is a training that has completed, once the next ``fit`` begins or the worker closes. LightGBM does
    not report that training raised: use a ``with`` block around it.
    """
    return callback_of(lightgbm_callback, object, _LightGBM)


class _XGBoost:
    fit: Fit
    rounds: Optional[int]
    samples: Optional[int]

    def before_training(self, model: Any) -> None:
        self.fit.begins(self.rounds, self.samples)

    def before_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> None:
        self.fit.epoch_begins(epoch)
        self.fit.step_begins()

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> None:
        self.fit.step_ends()
        self.fit.epoch_ends(_loss(_evaluated(evals_log)), is_event=False)  # there may be hundreds in a second

    def after_training(self, model: Any) -> None:
        self.fit.ends()


class _LightGBM:
    fit: Fit
    before_iteration = False
    order = 5
    """Before LightGBM's own: early stopping raises, and later ones are not called then."""

    def __call__(self, env: Any) -> None:
        self._round(env)

    def _round(self, env: Any) -> None:
        fit, number, rounds = self.fit, env.iteration - env.begin_iteration, env.end_iteration - env.begin_iteration
        if number == 0:
            model = env.model
            fit.begins(rounds, _rows(model))
            # LightGBM sets the best round as it returns from a training that stopped early.
            fit.has_stopped_early = lambda: getattr(model, "best_iteration", 0) > 0
        fit.epoch_begins(number)
        fit.step_ends()
        fit.epoch_ends(_loss(each for each in env.evaluation_result_list or () if not each[3]), is_event=False)
        if number + 1 >= rounds:
            fit.ends()
        else:
            fit.step_begins()


def _rows(model: Any) -> Optional[int]:
    # A cross-validation's model has no data, and a function for every name.
    count = getattr(getattr(model, "train_set", None), "num_data", None)
    return None if count is None else int(count())


def _evaluated(evals_log: Mapping[str, Any]) -> Iterator[Tuple[str, str, Any]]:
    for data, metrics in evals_log.items():
        for metric, history in metrics.items():
            if metric.split("@")[0] not in _XGBOOST_SCORES:
                value = history[-1]
                # In a cross-validation it is mean and standard deviation.
                yield data, metric, value[0] if isinstance(value, tuple) else value


def _loss(evaluated: Iterable[Tuple[Any, ...]]) -> Optional[Any]:
    """The loss among ``(dataset, metric, value, ...)``: of the training data if it is there, else the first."""
    losses = sorted(evaluated, key=lambda each: "train" not in each[0])
    return losses[0][2] if losses else None
