"""Lifelong learning: a knowledge base of tasks that grows with unseen samples."""

from __future__ import annotations

from typing import Callable

from sedna_metrics._boundary import contained
from sedna_metrics.catalogue import inference as metrics, learning
from sedna_metrics.tasks._context import lazy_instrument
from sedna_metrics.tasks._learning import LearningTask


class LifelongLearning(LearningTask):
    """``worker.lifelong_learning``, for train, eval and inference workers of a LifelongLearningJob."""

    @lazy_instrument
    def unseen_sample(self) -> Callable[..., None]:
        """``unseen_sample()`` counts a sample of an unseen task; ``unseen_sample(n)`` counts ``n``.

        The detector's own answer, a bool, counts as 0 or 1.
        """
        return self._context.instruments.counter(metrics.UNSEEN_SAMPLES).inc

    @contained()
    def known_tasks(self, count: int) -> None:
        """Set the number of tasks in the knowledge base."""
        gauge = self._context.instruments.gauge(learning.KNOWN_TASKS)
        before = gauge.value()
        gauge.set(count)
        if gauge.value() != before:
            self._context.emit("knowledge.updated", tasks=gauge.value())

    @contained()
    def task_samples(self, count: int) -> None:
        """Set the number of samples that those tasks are based on."""
        self._context.instruments.gauge(learning.TASK_SAMPLES).set(count)
