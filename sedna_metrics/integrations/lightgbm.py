"""LightGBM: a callback for ``lightgbm.train`` and its scikit-learn classes.

Source: ``lightgbm.callback.CallbackEnv``; a callback is anything that can be called with one, so that nothing of
LightGBM is imported here.
"""

from __future__ import annotations

from typing import Any, Optional

from sedna_metrics.integrations._boosting import loss_of
from sedna_metrics.integrations._fit import Fit, guarded


def lightgbm_callback(samples: Optional[int] = None, output_model: object = None) -> Any:
    """A callback for boosting: ``lightgbm.train(..., callbacks=[lightgbm_callback()])``.

    A boosting round is a step, and an epoch: each goes over all samples. A step is timed from the end of the one
    before. The loss is that of the training data where ``valid_sets`` has it. LightGBM does not tell that training
    raised: a ``with`` block around it does.

    Args:
        samples: how many samples are trained on, where it is not the training set's number of rows.
        output_model: where the model is once training has ended.
    """
    return _Callback(Fit(samples, output_model))


class _Callback:
    before_iteration = False
    order = 5
    """Before LightGBM's own: the one that stops early raises, and then later ones are not called."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit
        self._model: Any = None

    @guarded
    def __call__(self, env: Any) -> None:
        fit = self._fit
        number = env.iteration - env.begin_iteration
        if fit.training is None or number == 0:
            self._model = env.model
            fit.begins(env.end_iteration - env.begin_iteration, _rows(env.model))
        fit.round_begins(number)
        fit.round_ends(loss_of((data, metric, value) for data, metric, value, *_ in env.evaluation_result_list or ()))
        if env.iteration + 1 >= env.end_iteration:
            fit.ends()
        else:
            fit.step_begins()

    @guarded
    def _is_dropped(self) -> None:
        # There is no last call where training stops early. LightGBM sets the best round then, as it returns.
        if getattr(self._model, "best_iteration", 0) > 0:
            self._fit.ends()
        else:
            self._fit.fails()

    def __del__(self) -> None:
        if self._fit.is_open:
            self._is_dropped()


def _rows(model: Any) -> Optional[int]:
    # A cross-validation's model has no data, and a function for whatever it is asked for.
    count = getattr(getattr(model, "train_set", None), "num_data", None)
    return None if count is None else int(count())
