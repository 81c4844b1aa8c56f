"""Incremental learning: hard samples of the deployed model train the next one, iteration by iteration."""

from __future__ import annotations

from typing import Callable

from sedna_metrics.catalogue import inference as metrics, learning
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import TaskContext, lazy_instrument
from sedna_metrics.tasks._learning import LearningTask


class IncrementalLearning(LearningTask):
    """``worker.incremental_learning``, for train, eval and inference workers of an IncrementalLearningJob."""

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self._inferences_before = self._hard_samples_before = 0.0

    @lazy_instrument
    def inference(self) -> Observation:
        """Decorator and context manager for an inference of the deployed model (IterationInferenceCount)."""
        finished = self._calls("edge").finished
        self._context.instruments.callback(learning.ITERATION_INFERENCES, lambda: finished() - self._inferences_before)
        return super().inference

    @lazy_instrument
    def hard_sample(self) -> Callable[..., None]:
        """``hard_sample()`` counts a sample that the miner called hard (HardSampleNum, IterationHardSampleNum).

        ``hard_sample(n)`` counts ``n``; the miner's own answer, a bool, counts as 0 or 1.
        """
        instruments = self._context.instruments
        hard = instruments.counter(metrics.HARD_SAMPLES)
        instruments.callback(learning.ITERATION_HARD_SAMPLES, lambda: hard.value() - self._hard_samples_before)
        return hard.inc

    def _new_iteration(self) -> None:
        if "inference" in vars(self):
            self._inferences_before = self._calls("edge").finished()
        if "hard_sample" in vars(self):
            self._hard_samples_before = self._context.instruments.counter(metrics.HARD_SAMPLES).value()
