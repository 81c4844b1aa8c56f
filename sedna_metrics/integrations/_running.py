"""The training under way, or one of its own for code that no ``with`` block surrounds."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Optional

from sedna_metrics import _runtime
from sedna_metrics._worker import Worker
from sedna_metrics.tasks._training import Training

_TASKS = {
    "federatedlearningjob": "federated_learning",
    "lifelonglearningjob": "lifelong_learning",
}


class UnfinishedError(Exception):
    """Why a training failed whose loop or callbacks ended without a word."""


class OwnTraining:
    """A training, of the worker's kind of task, that begins now and ends once.

    One that nobody ends has failed when the worker closes.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._stack = ExitStack()
        task = getattr(worker, _TASKS.get(worker.identity.kind, "incremental_learning"))
        self.training: Training = self._stack.enter_context(task.training())
        self._closer = self.unfinished  # one object, which the list finds again
        worker.unfinished.append(self._closer)

    def end(self, error: Optional[BaseException] = None) -> None:
        """It ended, well unless ``error`` says otherwise; a second call does nothing, nor one in a forked child."""
        if not self.has_ended:
            self._worker.unfinished.remove(self._closer)
            self._leave(error)

    @property
    def has_ended(self) -> bool:
        """Whether it has; in a forked child it is the parent's to end."""
        return self._closer not in self._worker.unfinished

    def unfinished(self) -> None:
        """The worker closes, and has taken this off its list."""
        self._leave(UnfinishedError("the worker closed before the training had ended"))

    def _leave(self, error: Optional[BaseException]) -> None:
        with self._worker.guard:
            if error is None:
                self._stack.close()
            else:
                self._stack.__exit__(type(error), error, error.__traceback__)


def active_runs() -> Any:
    """The training or evaluation under way in the running worker, the latest; ``None`` where there is none."""
    worker = _runtime.running()
    return worker.active_runs[-1] if worker is not None and worker.active_runs else None
