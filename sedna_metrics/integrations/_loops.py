"""Progress by hand, and loops over epochs and batches that find the running worker."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Optional, TypeVar, Union

from sedna_metrics.integrations._fit import Fit, active_run, running_worker
from sedna_metrics.tasks._context import length
from sedna_metrics.tasks._time_left import whole_number
from sedna_metrics.tasks._training import Training

T = TypeVar("T")


def progress(done: Optional[float] = None, total: Optional[float] = None, *, loss: Any = None) -> None:
    """Set the progress of the training or evaluation in progress, and its latest loss; without one this does nothing.

    Args:
        done: units done so far, of your own choice.
        total: units in all; the time left comes from both.
        loss: the latest loss: a number, a numpy or tensor scalar, or a history, of which the last value counts.
    """
    run = active_run()
    if loss is not None and isinstance(run, Training):
        run.loss(loss)
    if run is not None and done is not None and total is not None:
        run.progress(done, total)


def epochs(planned: Union[int, Iterable[T]]) -> Iterator[Any]:
    """Iterate over the epochs of training: ``for epoch in sedna_metrics.epochs(10)``.

    Outside a ``with task.training()`` block the loop is a training of its own. It has completed when the loop ends,
    early or not: only a ``with`` block, or the end of the worker, sees that the loop was left by an exception.

    Args:
        planned: the number of epochs, to get 0, 1, ...; or what to iterate over, such as ``range(5, 10)``.

    Raises:
        ValueError: ``planned`` is neither.
    """
    count = whole_number(planned)
    if count is None and (isinstance(planned, str) or not hasattr(planned, "__iter__")):
        raise ValueError(f"epochs() takes a number of epochs, or what to iterate over, not {planned!r}")
    items: Any = range(count) if count is not None else planned
    return _loop(items, lambda training: training.through_epochs(items), is_epochs=True)


def track(batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
    """Iterate over batches of an epoch, or of an evaluation: ``for batch in sedna_metrics.track(loader)``.

    Each step is timed. Within :func:`epochs` a step is part of its epoch; otherwise this pass is the whole training,
    which ends as that of :func:`epochs` does.

    Args:
        batches: what the loop iterates over, such as a PyTorch ``DataLoader``.
        total: number of batches, if ``len(batches)`` does not give it.
    """
    return _loop(batches, lambda run: run.track(batches, total), is_epochs=False)


def _loop(items: Iterable[T], through: Callable[[Any], Iterator[T]], *, is_epochs: bool) -> Iterator[T]:
    """Iterate over ``items`` as part of the run in progress, or of a training of its own."""
    worker, run, loop = running_worker(), None, Fit(is_loop=True)
    if worker is not None:
        with worker.guard:
            run = None if is_epochs else active_run()
            if run is None:
                loop.begins(length(items) if is_epochs else None)
                run = loop.training
    try:
        yield from iter(items) if run is None else through(run)
    except Exception as error:
        loop.leaves(error)
        raise
    finally:
        loop.leaves()
