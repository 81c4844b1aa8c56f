"""The time left of a run, on the gauges that expose it."""

from __future__ import annotations

from typing import Any, Optional

from sedna_metrics._progress import Progress
from sedna_metrics.catalogue import Metric
from sedna_metrics.metrics import Gauge, to_float
from sedna_metrics.tasks._context import TaskContext, length


class TimeLeft:
    """Exposes the time left, and when the run should end.

    Args:
        context: of the task.
        metric: of ``remaining``, to report invalid values.
        remaining: seconds.
        completion: Unix time.
    """

    def __init__(self, context: TaskContext, metric: Metric, remaining: Gauge, completion: Gauge) -> None:
        self._context = context
        self._metric = metric
        self._remaining = remaining
        self._completion = completion
        self.clear()  # the values of the last run

    def seconds(self) -> Optional[float]:
        """The time left; ``None`` while unknown."""
        return self._remaining.value()

    def update(self, progress: Progress, done: Any, total: Any = None) -> None:
        """Move ``progress`` on, and expose its estimate; invalid values are rejected."""
        try:
            progress.update(done, total)
        except ValueError as why:
            self._context.boundary.reject(self._metric.name, (done, total), str(why))
            return
        remaining, completion = progress.remaining_seconds(), progress.estimated_completion()
        if remaining is not None and completion is not None:
            self._remaining.set(remaining)
            self._completion.set(completion)

    def count(self, batches: Any, total: Any) -> Optional[int]:
        """How many ``batches`` there are: ``total`` if it is a valid number, else their length, if they have one."""
        count = whole_number(total)
        if count is None and total is not None:
            self._context.boundary.reject(self._metric.name, total, "a total must be a whole number of 0 or more")
        return length(batches) if count is None else count

    def finish(self) -> None:
        """The run has ended well."""
        self._remaining.set(0.0)
        self._completion.set(self._context.clock.time())

    def clear(self) -> None:
        """Nothing is known: the run has failed, or has only begun."""
        self._remaining.clear()
        self._completion.clear()


def whole_number(value: Any) -> Optional[int]:
    """A number of epochs or batches: 3, ``np.int64(3)``, 3.0 or "3"; ``None`` for anything else."""
    try:
        number = float(value) if isinstance(value, str) else to_float(value)
        return int(number) if number >= 0 and number.is_integer() else None
    except Exception:  # a foreign object's __float__ may raise anything
        return None
