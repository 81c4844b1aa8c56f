"""What every task is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, NamedTuple, Optional

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics._clock import Clock
from sedna_metrics._compat import Protocol, cached_property
from sedna_metrics._noop import Noop
from sedna_metrics.catalogue.learning import ITERATION
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.metrics import Instruments


class Emit(Protocol):
    """Writes lifecycle events, as :class:`sedna_metrics.logs.Log` does."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Write an event of :mod:`sedna_metrics.catalogue.log` with its fields; those that are ``None`` are unknown."""

    def bind(self, **fields: Any) -> None:
        """Add these fields to every record of the worker from now on; ``None`` removes one."""


class TaskContext(NamedTuple):
    """The parts of a worker that its tasks use."""

    instruments: Instruments
    clock: Clock
    boundary: ErrorBoundary
    emit: Emit
    identity: WorkerIdentity
    on_success: Callable[[], None]
    """Called when a stage of work has ended well."""
    on_change: Callable[[], None]
    """Called when a stage or status has changed."""
    at_close: Callable[[Callable[[], None]], None]
    """Takes a function to call when the worker closes."""
    active_runs: List[Any]
    """Trainings and evaluations in progress, the latest last."""


class Task:
    """What a worker does, for one kind of Sedna's."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._boundary = context.boundary

    def _begin_iteration(self, number: int) -> bool:
        """Begin an iteration, or local round; returns whether it is another valid one than before."""
        gauge = self._context.instruments.gauge(ITERATION)
        before = gauge.value()
        gauge.set(number)
        now = gauge.value()
        if now is None or now == before:
            return False
        self._context.emit.bind(iteration=int(now))
        self._context.emit("iteration.started", iteration=int(now))
        return True


if TYPE_CHECKING:
    lazy_instrument = cached_property
else:

    class lazy_instrument(cached_property):
        """A cached property whose series exist from its first use on; a no-op if it cannot be made."""

        def __get__(self, task, owner=None):
            if task is None:
                return self
            with task._boundary:
                return super().__get__(task, owner)
            return Noop()


def length(items: Any) -> Optional[int]:
    """``len(items)``, or ``None`` if that fails: then there is no estimate of the time left."""
    try:
        return len(items)
    except Exception:  # the dataset's own __len__ may raise anything
        return None
