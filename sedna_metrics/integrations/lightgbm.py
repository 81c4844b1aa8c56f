"""LightGBM: a callback for ``lightgbm.train`` and its scikit-learn classes.

Source: ``lightgbm.callback.CallbackEnv``; a callback is anything that can be called with one, so that nothing of
LightGBM is imported here.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

from sedna_metrics.integrations._boosting import loss_of
from sedna_metrics.integrations._fit import Fit, contained_hook


def lightgbm_callback(samples: Optional[int] = None, output_model: object = None) -> Any:
    """A callback for boosting: ``lightgbm.train(..., callbacks=[lightgbm_callback()])``.

    A boosting round is a step, and an epoch: each goes over all samples. A step is timed from the end of the one
    before. The loss is that of the training data if ``valid_sets`` has it; metrics for which higher is better are no
    losses. Early stopping is a training that has completed, once the next ``fit`` begins or the worker closes. LightGBM
    does not report that training raised: use a ``with`` block around it.

    Args:
        samples: number of training samples, if it is not the training set's number of rows.
        output_model: URL of the model after training.
    """
    return _Callback(samples, output_model)


class _Callback:
    before_iteration = False
    order = 5
    """Before LightGBM's own: early stopping raises, and later ones are not called then."""

    def __init__(self, samples: Optional[int], output_model: object) -> None:
        self._arguments = (samples, output_model)
        self._fit = Fit(samples, output_model)

    def __reduce__(self) -> Tuple[Any, ...]:
        return _Callback, self._arguments  # a copy begins without the run

    @contained_hook
    def __call__(self, env: Any) -> None:
        fit = self._fit
        number = env.iteration - env.begin_iteration
        if fit.training is None or number == 0:
            model = env.model
            fit.begins(env.end_iteration - env.begin_iteration, _rows(model))
            # LightGBM sets the best round as it returns from a training that stopped early.
            fit.has_stopped_early = lambda: getattr(model, "best_iteration", 0) > 0
        fit.epoch_begins(number)
        fit.step_ends()
        evaluated = [
            (data, metric, value)
            for data, metric, value, is_score, *_ in env.evaluation_result_list or ()
            if not is_score
        ]
        fit.epoch_ends(loss_of(evaluated), is_event=False)  # there may be hundreds in a second
        if env.iteration + 1 >= env.end_iteration:
            fit.ends()
        else:
            fit.step_begins()


def _rows(model: Any) -> Optional[int]:
    # A cross-validation's model has no data, and a function for every name.
    count = getattr(getattr(model, "train_set", None), "num_data", None)
    return None if count is None else int(count())
