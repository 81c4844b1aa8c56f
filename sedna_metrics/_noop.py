"""Stands in for what could not be made: the script runs on, unobserved."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterable, Iterator, Mapping, Optional


class Noop:
    """Takes every call and does nothing; what is the script's passes through it.

    A function that it decorates comes back as it is, and so does what a loop goes over (``training.track(loader)``).
    As a context manager it keeps nothing back. Where epochs were planned it counts them.

    Args:
        epochs: how many are planned.
    """

    def __init__(self, epochs: Any = None) -> None:
        self._planned = epochs
        self._done = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self

    def __call__(self, first: Any = None, second: Any = None, *, epochs: Any = None, **more: Any) -> Any:
        if callable(first) or _is_gone_over(first):
            return first
        return Noop(second if epochs is None else epochs)  # training(samples, epochs)

    def __enter__(self) -> Noop:
        return self

    def __exit__(self, *_: object) -> None:
        """The script's exceptions are its own."""

    async def __aenter__(self) -> Noop:
        return self

    async def __aexit__(self, *_: object) -> None:
        """As :meth:`__exit__`."""

    def plan(self, epochs: Any) -> None:
        """So many epochs are planned."""
        self._planned = epochs

    def epochs(self) -> Iterable[int]:
        """Count them.

        Raises:
            ValueError: no number of epochs was planned.
        """
        if self._planned is None:
            raise ValueError("training.epochs() needs to know how many: say training(epochs=10)")
        return range(int(self._planned))

    @contextmanager
    def epoch(self, number: Optional[int] = None) -> Iterator[int]:
        """One epoch, which has a number."""
        index = self._done if number is None else number
        yield index
        self._done = index + 1


def _is_gone_over(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
