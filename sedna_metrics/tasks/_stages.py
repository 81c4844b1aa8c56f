"""Stages (train, eval, deploy) and iterations of a task."""

from __future__ import annotations

from typing import Dict

from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.tasks._context import TaskContext

_STAGE_OF_WORKER = {"train": "train", "eval": "eval"}


class Stages:
    """The stage that the worker is in, and the status of each stage that it has entered."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._stage = context.instruments.state(metrics.TASK_STAGE)
        self._statuses: Dict[str, str] = {}

    def set(self, stage: str, status: str) -> bool:
        """Enter ``stage`` with ``status``; returns whether they are valid. Invalid values change nothing."""
        for metric, value in ((metrics.TASK_STAGE, stage), (metrics.STAGE_STATUS, status)):
            if not isinstance(value, str) or value not in metric.states:
                self._context.boundary.reject(metric.name, value, f"it must be one of {', '.join(metric.states)}")
                return False
        self._stage.set(stage)
        self._context.instruments.state(metrics.STAGE_STATUS, task_stage=stage).set(status)
        self._context.emit.bind(task_stage=stage)
        self._statuses[stage] = status
        self._context.on_change()
        return True

    def end(self, status: str) -> None:
        """The worker ends: stages that are not finished get this status.

        If it failed, so has its current stage, or the stage of its worker type if it never entered one.
        """
        current = self._stage.current or _STAGE_OF_WORKER.get(self._context.worker_type)
        for stage, now in list(self._statuses.items()):
            if now not in ("completed", "failed"):
                self.set(stage, status)
        if status == "failed" and current is not None:
            self.set(current, status)


class Iteration:
    """The iteration that the task is in, or local round: IterationNo."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._number = context.instruments.gauge(metrics.ITERATION)

    def start_at(self, number: int) -> None:
        """Set the number that the environment gives; nothing begins by that."""
        self._number.set(number)
        self._context.emit.bind(iteration=number)

    def begin(self, number: int) -> bool:
        """Begin iteration ``number``; returns whether it is another valid one than before."""
        before = self._number.value()
        self._number.set(number)
        now = self._number.value()
        if now is None or now == before:
            return False
        self._context.emit.bind(iteration=int(now))
        self._context.emit("iteration.started", iteration=int(now))
        return True
