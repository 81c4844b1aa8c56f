"""Progress by hand, and loops over epochs and batches that find the worker by themselves."""

from __future__ import annotations

import sys
from inspect import CO_GENERATOR
from opcode import opname
from types import FrameType
from typing import Any, Callable, Iterable, Iterator, Optional, Tuple, TypeVar, Union

from sedna_metrics import _runtime
from sedna_metrics.integrations._running import OwnTraining, UnfinishedError, active_runs
from sedna_metrics.tasks._context import length
from sedna_metrics.tasks._evaluation import Evaluation
from sedna_metrics.tasks._loops import Epochs
from sedna_metrics.tasks._time_left import whole_number
from sedna_metrics.tasks._training import Training

T = TypeVar("T")


def progress(done: Optional[float] = None, total: Optional[float] = None, *, loss: Any = None) -> None:
    """Say how far the training or evaluation under way is, and its latest loss; without one this does nothing.

    Args:
        done: units done so far, of your own choice.
        total: units in all; the time left comes from both.
        loss: the latest loss: a number, a numpy or tensor scalar, or a history, of which the last value counts.
    """
    run = active_runs()
    if run is None:
        return
    if loss is not None and isinstance(run, Training):
        run.loss(loss)
    if done is not None and total is not None:
        run.progress(done, total)


def epochs(planned: Union[int, Iterable[T]]) -> Iterator[Any]:
    """Go through the epochs of training: ``for epoch in sedna_metrics.epochs(10)``.

    A loop that is left by ``break`` or ``return`` has stopped early, and its training is completed; by an exception, it
    has failed. CPython tells the two apart for a ``for`` loop straight over this; a loop that is kept in a variable and
    left half way counts as failed.

    Args:
        planned: how many epochs there are, and 0, 1, ... are given; or what to go through, such as ``range(5, 10)``.

    Raises:
        ValueError: ``planned`` is neither.
    """
    items = _items(planned)

    def through(training: Training) -> Iterator[T]:
        count = length(items)
        if count is not None:
            training.plan(count)
        return Epochs(training, items)

    return _Loop(items, through, (Training,))


def track(batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
    """Go through the batches of an epoch, or of an evaluation: ``for batch in sedna_metrics.track(loader)``.

    Each step is timed. Within :func:`epochs` a step is part of its epoch; without it, one pass is all there is, and the
    time left is that of the pass. A loop that is left ends as that of :func:`epochs` does.

    Args:
        batches: what the loop goes over, a PyTorch ``DataLoader`` for one.
        total: how many there are, where ``len(batches)`` does not tell.
    """
    return _Loop(batches, lambda run: run.track(batches, total), (Training, Evaluation))


def _items(planned: Any) -> Iterable[Any]:
    count = whole_number(planned)
    if count is not None:
        return range(count)
    if isinstance(planned, str) or not hasattr(planned, "__iter__"):
        raise ValueError(f"epochs() takes a number of epochs, or what to go through, not {planned!r}")
    items: Iterable[Any] = planned
    return items


class _Loop(Iterator[T]):
    """Gives ``items``, and from the first one on tells the run under way, or a training of its own.

    Args:
        items: what to go through.
        through: goes through them for a run.
        joins: kinds of runs that it can be part of.
    """

    def __init__(self, items: Iterable[T], through: Callable[[Any], Iterator[T]], joins: Tuple[type, ...]) -> None:
        self._items = items
        self._through = through
        self._joins = joins
        self._iterator: Optional[Iterator[T]] = None
        self._own: Optional[OwnTraining] = None

    def __next__(self) -> T:
        try:
            if self._iterator is None:
                self._iterator = self._begin()
            return next(self._iterator)
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise

    def __del__(self) -> None:
        if self._own is not None and not self._own.has_ended:
            left = _is_left_by_exception(sys._getframe(1))
            self._end(UnfinishedError("its loop was left by an exception") if left else None)

    def _begin(self) -> Iterator[T]:
        worker, run = _runtime.running(), active_runs()
        if worker is not None and not isinstance(run, self._joins):
            run = None
            with worker.guard:
                self._own = OwnTraining(worker)
                run = self._own.training
        return iter(self._items) if run is None else self._through(run)

    def _end(self, error: Optional[BaseException]) -> None:
        if self._own is not None:
            own, self._own = self._own, None
            own.end(error)


def _is_left_by_exception(frame: Optional[FrameType]) -> bool:
    """Whether the loop in ``frame``, which lets go of its iterator right now, is left by an exception.

    CPython keeps a ``for`` loop's iterator on the frame's stack alone. ``break`` and ``return`` take it off by an
    instruction that cannot raise; an exception does while the frame still stands at the instruction that raised it.
    ``sys.exc_info()`` would not tell: the exception is on its way, not handled yet, and set aside during ``__del__``.
    """
    if sys.implementation.name != "cpython":
        return False  # nobody can tell, and stopping early is the more usual
    while frame is not None:
        if opname[frame.f_code.co_code[frame.f_lasti]] in ("POP_TOP", "POP_ITER"):
            return False
        # A generator in between (a progress bar is one) is closed in its turn: what counts is how its loop is left.
        frame = frame.f_back if frame.f_code.co_flags & CO_GENERATOR else None
    return True
