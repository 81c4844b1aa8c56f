"""Loops over epochs and batches that tell a training how far it is.

What a loop gives is done when the loop asks for the next: that its body ended well is known then, and only then. So an
epoch or a step that was left by ``break``, ``return`` or an exception is not counted. A generator could not tell: it is
closed in the same way by all three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterable, Iterator, Optional, TypeVar

from sedna_metrics._boundary import ErrorBoundary

if TYPE_CHECKING:
    from sedna_metrics.tasks._training import Training

T = TypeVar("T")


class Epochs(Iterator[T]):
    """Gives ``items``, each of which is an epoch."""

    def __init__(self, training: Training, items: Iterable[T]) -> None:
        self._training = training
        self._boundary = training.boundary
        self._items = iter(items)
        self._number = -1

    def __next__(self) -> T:
        if self._number >= 0:
            with self._boundary:
                self._training.epoch_ends()
        item = next(self._items)
        self._number += 1
        with self._boundary:
            self._training.epoch_begins(self._number)
        return item


class Steps(Iterator[T]):
    """Gives ``batches``, each of which is a step.

    Args:
        batches: what the loop goes over.
        clock: gives seconds.
        on_step: told of each step that is done: the number of steps so far, and the seconds that this one took.
        boundary: takes what goes wrong as it is told.
    """

    def __init__(
        self,
        batches: Iterable[T],
        clock: Callable[[], float],
        on_step: Callable[[int, float], None],
        boundary: ErrorBoundary,
    ) -> None:
        self._batches = iter(batches)
        self._clock = clock
        self._on_step = on_step
        self._boundary = boundary
        self._done = 0
        self._began: Optional[float] = None

    def __next__(self) -> T:
        if self._began is not None:
            seconds, self._began = self._clock() - self._began, None
            self._done += 1
            with self._boundary:
                self._on_step(self._done, seconds)
        batch = next(self._batches)
        self._began = self._clock()
        return batch
