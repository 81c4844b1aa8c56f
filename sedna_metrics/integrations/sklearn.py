"""scikit-learn: estimators that learn batch by batch.

Source: the ``partial_fit`` methods of scikit-learn's estimators; whatever has one will do.
"""

from __future__ import annotations

from typing import Any, Iterable, Tuple, TypeVar

from sedna_metrics.integrations._loops import epochs as through_epochs, progress, track

E = TypeVar("E")


def partial_fit(estimator: E, batches: Iterable[Tuple[Any, Any]], epochs: int = 1, **arguments: Any) -> E:
    """Fit ``estimator`` to ``batches``, ``epochs`` times; returns the estimator.

    It records epochs, steps, time left, and the loss of each epoch if the estimator has a ``loss_``.

    Args:
        estimator: anything with a ``partial_fit(X, y)``.
        batches: pairs of X and y; a list, or another iterable that can be iterated over more than once.
        epochs: number of passes.
        arguments: for each call of ``partial_fit``: classifiers want ``classes``.
    """
    learner: Any = estimator
    for _ in through_epochs(epochs):
        for features, targets in track(batches):
            learner.partial_fit(features, targets, **arguments)
        progress(loss=getattr(learner, "loss_", None))
    return estimator
