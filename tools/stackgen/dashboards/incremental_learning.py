"""Incremental learning: stages, iterations, training, evaluation, deployment."""

from __future__ import annotations

from sedna_metrics.catalogue import learning
from stackgen.dashboards import _inference, _learning
from stackgen.dashboards._board import board

BOARD = board(
    "sedna-incremental-learning",
    "Incremental learning",
    "Stages and their status, iterations, loss and time left, new against old model, deployment, inference.",
    {
        **_learning.stages("IncrementalLearningJob"),
        "Iteration": [*_learning.iterations(), _learning.models()],
        **_learning.training(),
        **_learning.evaluation(),
        **_inference.counts(),
    },
    tasks_from=f'{{__name__=~"{learning.TASK_STAGE.name}|{learning.ITERATION.name}",namespace=~"$namespace"}}',
)
