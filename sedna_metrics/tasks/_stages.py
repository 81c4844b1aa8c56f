"""Stages of a task (train, eval, deploy) and their statuses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.tasks._context import TaskContext


class Stages:
    """Which stage the worker is in, and how each stage that it entered stands."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._stage = context.instruments.state(metrics.TASK_STAGE)

    def status(self, stage: str, status: str) -> bool:
        """Enter ``stage`` (train, eval, deploy) with ``status`` (waiting, ready, starting, running, completed, failed).

        Anything else is refused as a whole, and counted in ``sedna_metrics_rejected_values_total``.

        Returns:
            whether it was taken.
        """
        for metric, value in ((metrics.TASK_STAGE, stage), (metrics.STAGE_STATUS, status)):
            if not isinstance(value, str) or value not in metric.states:
                self._context.boundary.reject(metric.name, value, f"it must be one of {', '.join(metric.states)}")
                return False
        self._stage.set(stage)
        self._context.instruments.state(metrics.STAGE_STATUS, task_stage=stage).set(status)
        self._context.emit.bind(task_stage=stage)
        return True

    @contextmanager
    def run(self, stage: str) -> Iterator[None]:
        """Running while the body runs, then completed, or failed if it raised."""
        boundary = self._context.boundary
        with boundary:
            self.status(stage, "running")
        try:
            yield
        except BaseException:
            with boundary:
                self.status(stage, "failed")
            raise
        with boundary:
            self.status(stage, "completed")
