"""The training in progress, or one of its own for code that is not in a ``with`` block."""

from __future__ import annotations

from typing import Any, Callable, Optional

from sedna_metrics import _runtime
from sedna_metrics._worker import Worker
from sedna_metrics.tasks._evaluation import Evaluation
from sedna_metrics.tasks._training import Training

_TASKS = {"federatedlearningjob": "federated_learning", "lifelonglearningjob": "lifelong_learning"}


class UnfinishedError(Exception):
    """Why a training has failed that never reported its end."""


class OwnTraining:
    """A training of the worker's kind of task, which begins now.

    Args:
        worker: whose.
        at_close: called with whether the worker has failed, if the training is still open when the worker closes.
    """

    def __init__(self, worker: Worker, at_close: Optional[Callable[[bool], None]] = None) -> None:
        self._worker = worker
        self._at_close = at_close or self._close
        self.training: Training = getattr(worker, _TASKS.get(worker.identity.kind, "incremental_learning")).training()
        self.training.begin()
        worker.open_runs.append(self._at_close)

    @property
    def is_open(self) -> bool:
        """Whether it has not ended; in a forked child it is the parent's."""
        return self.training.is_open and self._at_close in self._worker.open_runs

    def end(self, error: Optional[BaseException] = None) -> None:
        """End it, as failed if there is an error. A second call does nothing."""
        if self.is_open:
            self._worker.open_runs.remove(self._at_close)
            self.training.end(error)

    def _close(self, failed: bool) -> None:
        self.end(UnfinishedError("the worker failed before the training had ended") if failed else None)


def active_run() -> Any:
    """The training or evaluation in progress in the running worker, the latest; ``None`` if there is none."""
    worker = _runtime.running()
    runs = worker.active_runs if worker is not None else []
    return next((run for run in reversed(runs) if isinstance(run, (Training, Evaluation))), None)
