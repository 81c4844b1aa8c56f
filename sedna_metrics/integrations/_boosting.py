"""What the boosting libraries have in common: which of the numbers they evaluate after each round is the loss."""

from __future__ import annotations

from typing import Any, Iterable, Optional, Tuple

_SCORES = ("auc", "aucpr", "average_precision", "map", "ndcg", "pre")
"""Metrics of which more is better: no losses. Written "ndcg@5" with a cut-off."""


def loss_of(evaluated: Iterable[Tuple[str, str, Any]]) -> Optional[Any]:
    """The loss among ``(data set, metric, value)``: of the training data where it is there, else of the first."""
    losses = [each for each in evaluated if each[1].split("@")[0] not in _SCORES]
    for data, _, value in losses:
        if "train" in data:
            return value
    return losses[0][2] if losses else None
