"""scikit-learn: estimators that learn batch by batch.

Source: the ``partial_fit`` methods of scikit-learn's estimators; whatever has one will do.
"""

from __future__ import annotations

from typing import Any, Iterable, Tuple, TypeVar

from sedna_metrics.integrations._loops import epochs as through_epochs, progress, track

E = TypeVar("E")


def partial_fit(estimator: E, batches: Iterable[Tuple[Any, Any]], epochs: int = 1, **arguments: Any) -> E:
    """Fit ``estimator`` to ``batches``, ``epochs`` times over; gives the estimator.

    It tells epochs, steps, time left, and where the estimator has a ``loss_`` the loss of each epoch.

    Args:
        estimator: anything with a ``partial_fit(X, y)``.
        batches: pairs of X and y; a list, or what else can be gone through more than once.
        epochs: how often.
        arguments: for each call of ``partial_fit``: classifiers want ``classes``.
    """
    learner: Any = estimator
    for _ in through_epochs(epochs):
        for features, targets in track(batches):
            learner.partial_fit(features, targets, **arguments)
        progress(loss=getattr(learner, "loss_", None))
    return estimator
