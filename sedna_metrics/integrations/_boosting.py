"""Which of the values that boosting libraries evaluate after each round is the loss."""

from __future__ import annotations

from typing import Any, Iterable, Optional, Tuple

_SCORES = ("auc", "aucpr", "average_precision", "map", "ndcg", "pre")
"""XGBoost's metrics for which higher is better. Written "ndcg@5" with a cut-off."""


def loss_of(evaluated: Iterable[Tuple[str, str, Any]]) -> Optional[Any]:
    """The loss among ``(dataset, metric, value)``: of the training data if it is there, else the first."""
    losses = [each for each in evaluated if each[1].split("@")[0] not in _SCORES]
    for data, _, value in losses:
        if "train" in data:
            return value
    return losses[0][2] if losses else None
