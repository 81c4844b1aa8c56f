"""The time left of a run, on the gauges that expose it."""

from __future__ import annotations

from typing import Any, Optional

from sedna_metrics._progress import Progress
from sedna_metrics.catalogue import Metric
from sedna_metrics.metrics import to_float
from sedna_metrics.tasks._context import TaskContext, length


class TimeLeft(Progress):
    """Progress that exposes the time left, and when the run should end. Invalid values are rejected."""

    def __init__(self, context: TaskContext, remaining: Metric, completion: Metric) -> None:
        super().__init__(context.clock, None)
        self._boundary = context.boundary
        self._metric = remaining.name
        self._remaining = context.instruments.gauge(remaining)
        self._completion = context.instruments.gauge(completion)
        self.clear()  # the values of the last run

    def seconds(self) -> Optional[float]:
        """The time left; ``None`` while unknown."""
        return self._remaining.value()

    def update(self, done: Any, total: Any = None) -> None:
        """Set how many units are done, and expose the estimate."""
        try:
            super().update(done, total)
        except ValueError as why:
            self._boundary.reject(self._metric, (done, total), str(why))
            return
        remaining, completion = self.remaining_seconds(), self.estimated_completion()
        if remaining is not None and completion is not None:
            self._remaining.set(remaining)
            self._completion.set(completion)

    def begin_at(self, done: Any, total: Any) -> None:
        """Begin to measure here: only the next update has an estimate."""
        self.update(done, total)
        self.begin(self.done)
        self.clear()

    def count(self, batches: Any, total: Any) -> Optional[int]:
        """How many ``batches`` there are: ``total`` if it is a valid number, else their length, if they have one."""
        count = whole_number(total)
        if count is None and total is not None:
            self._boundary.reject(self._metric, total, "a total must be a whole number of 0 or more")
        return length(batches) if count is None else count

    def finish(self) -> None:
        """The run has ended well."""
        self._remaining.set(0.0)
        self._completion.set(self._clock.time())

    def clear(self) -> None:
        """Expose nothing: the run has failed, or has only begun."""
        self._remaining.clear()
        self._completion.clear()


def whole_number(value: Any) -> Optional[int]:
    """A number of epochs or batches: 3, ``np.int64(3)``, 3.0 or "3"; ``None`` for anything else."""
    try:
        number = float(value) if isinstance(value, str) else to_float(value)
        return int(number) if number >= 0 and number.is_integer() else None
    except Exception:  # a foreign object's __float__ may raise anything
        return None
