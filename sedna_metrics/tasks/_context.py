"""What every task is handed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, List, Optional

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics._clock import Clock
from sedna_metrics._compat import cached_property
from sedna_metrics._noop import Noop
from sedna_metrics.metrics import Instruments


class Emit:
    """Takes lifecycle events; the log writes them as records. This one drops them."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Note ``event``, such as ``training.completed``, with the numbers that belong to it.

        Args:
            event: one of those declared in :mod:`sedna_metrics.catalogue.log`.
            fields: those declared for the event; ``None`` is not known. ``exception`` is what was raised, where its
                trace belongs to the event.
        """

    def bind(self, **fields: Any) -> None:
        """Put these fields on every record of the worker from now on, as gauges do; ``None`` takes one off."""


@dataclass(frozen=True)
class TaskContext:
    """The parts of a worker that its tasks write to."""

    instruments: Instruments
    clock: Clock
    boundary: ErrorBoundary
    emit: Emit
    node: str = "unknown"
    iteration: Optional[int] = None
    """Iteration that the environment told."""
    on_success: Callable[[], None] = lambda: None
    """Called as a stage of work ends well."""
    at_close: Callable[[Callable[[], None]], None] = lambda call: None
    """Takes what is to be called as the worker is closed."""
    active_runs: List[Any] = field(default_factory=list)
    """The trainings and evaluations under way, the latest last: what code that was handed none reports to."""


if TYPE_CHECKING:
    part = cached_property
else:

    class part(cached_property):
        """A cached property of a task: where making it fails, for a reason of ours, something inert takes its place."""

        def __get__(self, task, owner=None):
            if task is None:
                return self
            with task._context.boundary:
                return super().__get__(task, owner)
            return Noop()


def reason(error: BaseException) -> str:
    """What an error says, for an event's field."""
    try:
        return str(error)[:500]
    except Exception:
        return "<unprintable>"


def length(items: Any) -> Optional[int]:
    """How many items there are, or ``None`` where they do not say."""
    try:
        return len(items)
    except Exception:
        # No length, or a data set of the worker's whose __len__ raises: then there is no estimate of the time left.
        return None
