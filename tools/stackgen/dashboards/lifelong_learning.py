"""Lifelong learning: as incremental learning, with what the knowledge base knows."""

from __future__ import annotations

from sedna_metrics.catalogue import inference, learning
from stackgen.dashboards import _inference, _learning
from stackgen.dashboards._board import board
from stackgen.dashboards._panels import lines
from stackgen.dashboards._queries import RESOURCE, of, rate

_KNOWLEDGE = [
    *_learning.unseen(),
    lines(
        "Samples of unseen tasks",
        "Samples of unknown tasks per second.",
        {"{{worker}}": rate(inference.UNSEEN_SAMPLES, "task, worker")},
        "reqps",
    ),
    lines(
        "Knowledge base",
        "Known tasks and their samples.",
        {"{{worker}} tasks": of(learning.KNOWN_TASKS), "{{worker}} samples": of(learning.TASK_SAMPLES)},
    ),
    lines(
        "Knowledge base (custom resource)",
        "From the status of the custom resource.",
        {
            f"{{{{name}}}} {name.replace('_', ' ')}": f"sedna_lifelong_learning_job_{name}{{{RESOURCE}}}"
            for name in ("ai_classes", "ai_models", "unseen_samples", "labeled_unseen_samples")
        },
    ),
]

BOARD = board(
    "sedna-lifelong-learning",
    "Lifelong learning",
    "Stages, known tasks and unseen samples, loss and time left, new against old model, inference.",
    {
        **_learning.stages("LifelongLearningJob"),
        "Knowledge": [*_KNOWLEDGE, _learning.models()],
        "Iteration": _learning.iterations(),
        **_learning.training(),
        **_learning.evaluation(),
        **_inference.counts(),
    },
    tasks_from=f'{{__name__=~"{learning.TASK_STAGE.name}|{learning.KNOWN_TASKS.name}",namespace=~"$namespace"}}',
)
