"""A run of training, evaluation or deployment: a context manager that sets a status and writes events."""

from __future__ import annotations

from typing import Any, Callable, Optional, TypeVar

from sedna_metrics._boundary import contained
from sedna_metrics.tasks._context import TaskContext

R = TypeVar("R", bound="Run")


class Run:
    """Its status is ``running`` in the body, then ``completed``, or ``failed`` if the body raised.

    A body that calls ``sys.exit(0)`` has not failed. Without a ``with`` block, call :meth:`begin` and :meth:`end`.
    """

    def __init__(self, context: TaskContext, set_status: Callable[[str], Any]) -> None:
        self._context = context
        self._boundary = context.boundary
        self._set_status = set_status
        self._began = context.clock.monotonic()

    @contained()
    def begin(self) -> None:
        """Begin the run."""
        self._began = self._context.clock.monotonic()
        self._context.active_runs.append(self)
        self._set_status("running")
        self._on_begin()

    @contained()
    def end(self, error: Optional[BaseException] = None) -> None:
        """End the run, as failed if there is an error. A second call does nothing."""
        if self not in self._context.active_runs:
            return
        self._context.active_runs.remove(self)
        if isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and error.code in (None, 0)):
            error = None
        self._set_status("completed" if error is None else "failed")
        self._on_end(error)
        if error is None:
            self._context.on_success()
        self._context.on_change()

    def __enter__(self: R) -> R:
        self.begin()
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        self.end(error)

    def _seconds(self) -> float:
        return self._context.clock.monotonic() - self._began

    def _on_begin(self) -> None:
        """For the subclass."""

    def _on_end(self, error: Optional[BaseException]) -> None:
        """For the subclass."""
