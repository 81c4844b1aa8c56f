"""The time left of a run: what an estimate says, on the gauges that show it."""

from __future__ import annotations

from typing import Any, Optional

from sedna_metrics._progress import Progress
from sedna_metrics.catalogue import Metric
from sedna_metrics.metrics import Gauge, to_float
from sedna_metrics.tasks._context import TaskContext, length


class TimeLeft:
    """Shows the time left, and when the run should end.

    Args:
        context: the worker's parts.
        metric: what ``remaining`` is, for the refusal of what is no progress.
        remaining: shows seconds.
        completion: shows a Unix time.
    """

    def __init__(self, context: TaskContext, metric: Metric, remaining: Gauge, completion: Gauge) -> None:
        self._context = context
        self._metric = metric
        self._remaining = remaining
        self._completion = completion
        self.unknown()  # what the last run said no longer holds

    def seconds(self) -> Optional[float]:
        """The time left; ``None`` where it is not known."""
        return self._remaining.value()

    def tell(self, progress: Progress, done: Any, total: Any = None) -> bool:
        """Move ``progress`` on and show what it says; gives whether ``done`` and ``total`` could be used."""
        try:
            progress.update(done, total)
        except ValueError as why:
            self._context.boundary.reject(self._metric.name, (done, total), str(why))
            return False
        remaining, completion = progress.remaining_seconds(), progress.estimated_completion()
        if remaining is not None and completion is not None:
            self._remaining.set(remaining)
            self._completion.set(completion)
        return True

    def count(self, batches: Any, total: Any) -> Optional[int]:
        """How many ``batches`` there are: ``total`` where it is given and a number, else their length, if they tell."""
        count = whole_number(total)
        if count is None and total is not None:
            self._context.boundary.reject(self._metric.name, total, "a total must be a whole number of 0 or more")
        return length(batches) if count is None else count

    def nothing(self) -> None:
        """The run has ended well."""
        self._remaining.set(0.0)
        self._completion.set(self._context.clock.time())

    def unknown(self) -> None:
        """The run failed, or has not told anything yet."""
        self._remaining.clear()
        self._completion.clear()


def whole_number(value: Any) -> Optional[int]:
    """A number of epochs, batches or the like, from what scripts have at hand: 3, ``np.int64(3)``, 3.0, "3".

    ``None`` for what is no whole number of 0 or more.
    """
    if type(value) is int:
        return value if value >= 0 else None
    try:
        number = float(value) if isinstance(value, str) else to_float(value)
        return int(number) if number >= 0 and number.is_integer() else None
    except Exception:
        # A foreign object's __float__ may raise anything; whatever it is, it is no number.
        return None
