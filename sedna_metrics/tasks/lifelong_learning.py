"""Lifelong learning: a knowledge base of tasks, which grows by what is met for the first time."""

from __future__ import annotations

from typing import Callable

from sedna_metrics.catalogue import inference as metrics, learning
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import part
from sedna_metrics.tasks._inference import samples_told_or_inferred
from sedna_metrics.tasks._learning import LearningTask


class LifelongLearning(LearningTask):
    """``worker.lifelong_learning``, for train, eval and inference workers of a LifelongLearningJob."""

    @part
    def unseen_sample(self) -> Callable[..., None]:
        """``unseen_sample()`` counts a sample of a task that is not known; ``unseen_sample(n)`` counts ``n``.

        The detector's own answer, a bool, will do.
        """
        return self._context.instruments.counter(metrics.UNSEEN_SAMPLES).inc

    @part
    def inference(self) -> Observation:
        """Decorator and context manager for an inference; without a word about samples, each is one."""
        self.sample  # noqa: B018
        return super().inference

    @part
    def sample(self) -> Callable[..., None]:
        """``sample()`` counts a sample put to the task; ``sample(n)`` counts ``n``.

        A script that never calls it has one for each inference; one that infers on several samples at once calls it.
        """
        told = self._context.instruments.internal_counter(metrics.SAMPLES)
        self._context.instruments.callback(metrics.SAMPLES, samples_told_or_inferred(told, self._edge.calls))
        return told.inc

    def known_tasks(self, count: int) -> None:
        """Say how many tasks the knowledge base knows."""
        with self._context.boundary:
            gauge = self._context.instruments.gauge(learning.KNOWN_TASKS)
            before = gauge.value()
            gauge.set(count)
            if gauge.value() != before:
                self._context.emit("knowledge.updated", tasks=gauge.value())

    def task_samples(self, count: int) -> None:
        """Say how many samples those tasks rest on."""
        with self._context.boundary:
            self._context.instruments.gauge(learning.TASK_SAMPLES).set(count)
