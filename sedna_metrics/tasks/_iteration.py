"""Iterations of a task, or local rounds: IterationNo."""

from __future__ import annotations

from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.tasks._context import TaskContext


class Iteration:
    """Which iteration the task is in."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._number = context.instruments.gauge(metrics.ITERATION)

    def begin(self, number: int) -> bool:
        """Begin iteration ``number``; gives whether it is another one than before, which a number refused is not."""
        before = self._number.value()
        self._number.set(number)
        now = self._number.value()
        if now is None or now == before:
            return False
        self._context.emit.bind(iteration=int(now))
        self._context.emit("iteration.started", iteration=int(now))
        return True

    def is_at(self, number: int) -> None:
        """Note the iteration that the environment told, which began before this worker."""
        self._number.set(number)
        self._context.emit.bind(iteration=number)
