"""Takes the place of what could not be made: the script runs on, and nothing is recorded."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Mapping, Optional


class Noop:
    """Accepts every call and does nothing.

    A function that it decorates comes back unchanged, and so does what a loop iterates over
    (``training.track(loader)``); ``epochs()`` and ``epoch()`` still count.
    """

    def __init__(self, samples: Any = None, epochs: Any = None) -> None:
        self._planned = epochs
        self._done = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self

    def __call__(self, first: Any = None, *more: Any, epochs: Any = None, **others: Any) -> Any:
        is_iterable = hasattr(first, "__iter__") and not isinstance(first, (str, bytes, Mapping))
        return first if callable(first) or is_iterable else Noop(first, more[0] if more else epochs)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        """Exceptions pass through."""

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Exceptions pass through."""

    def plan(self, epochs: Any) -> None:
        self._planned = epochs

    def epochs(self) -> Iterator[int]:
        return iter(range(int(self._planned or 0)))

    @contextmanager
    def epoch(self, number: Optional[int] = None) -> Iterator[int]:
        self._done = (self._done if number is None else number) + 1
        yield self._done - 1
