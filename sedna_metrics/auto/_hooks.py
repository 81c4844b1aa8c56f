"""Hooks: which method of Sedna's is observed, and by what.

An observer is a generator function. It is called with the method's arguments, and runs to its ``yield`` before the
method. It goes on after the method: the ``yield`` returns the method's result, or raises its exception.

A hook is applied only if the method has the signature that Sedna's source has; otherwise it is skipped, with a warning.
"""

from __future__ import annotations

import functools
import inspect
import logging
from contextlib import suppress
from types import ModuleType
from typing import Any, Callable, Generator, NamedTuple, Optional, Tuple

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.tasks._context import length

Steps = Generator[None, Any, None]
Observer = Callable[..., Steps]

_LOGGER = logging.getLogger("sedna_metrics")
#: Attributes of data sets whose length counts batches: PyTorch's DataLoader, MindSpore, tf.data, Keras' Sequence.
_OF_BATCHES = ("batch_size", "get_batch_size", "unbatch", "on_epoch_end")


class Hook(NamedTuple):
    """One method to observe."""

    module: str
    owner: str  # the class
    method: str
    arguments: Tuple[str, ...]  # the first positional ones after self; a later Sedna may have more behind them
    observe: Observer
    asynchronous: bool = False

    @property
    def name(self) -> str:
        return f"{self.module}.{self.owner}.{self.method}"

    def apply(self, module: ModuleType, boundary: ErrorBoundary) -> Optional[Callable[[], None]]:
        """Observe the method; returns what undoes it, or ``None`` if the method is not the known one."""
        owner: Any = getattr(module, self.owner, None)
        original = vars(owner).get(self.method) if isinstance(owner, type) else None
        difference = self._difference(original)
        if original is None or difference:
            _LOGGER.warning("%s %s, so it is not observed; the worker continues", self.name, difference)
            return None
        wrapper = self._wrap(original, boundary)
        # getfullargspec, which Sedna's backends ask, does not follow __wrapped__.
        wrapper.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        setattr(owner, self.method, wrapper)

        def undo() -> None:
            if vars(owner).get(self.method) is wrapper:  # or another library has replaced it since
                setattr(owner, self.method, original)

        return undo

    def _wrap(self, original: Callable[..., Any], boundary: ErrorBoundary) -> Callable[..., Any]:
        observe = self.observe

        @functools.wraps(original)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            with _Call(observe, boundary, arguments, keywords) as call:
                call.result = original(*arguments, **keywords)
            return call.result

        @functools.wraps(original)
        async def async_wrapper(*arguments: Any, **keywords: Any) -> Any:
            with _Call(observe, boundary, arguments, keywords) as call:
                call.result = await original(*arguments, **keywords)
            return call.result

        return async_wrapper if self.asynchronous else wrapper

    def _difference(self, method: Any) -> str:
        if not inspect.isfunction(method):
            return "does not exist"
        if inspect.iscoroutinefunction(method) != self.asynchronous:
            return "is not asynchronous" if self.asynchronous else "is asynchronous"
        known = ("self", *self.arguments)
        found = tuple(inspect.getfullargspec(method).args)
        if found[: len(known)] != known:
            return f"takes ({', '.join(found)}) instead of ({', '.join(known)})"
        return ""


class _Call:
    """One call of the method: the observer begins with it, and goes on with its ``result`` or its error."""

    def __init__(self, observe: Observer, boundary: ErrorBoundary, arguments: Any, keywords: Any) -> None:
        self.result: Any = None
        self._boundary = boundary
        self._steps: Optional[Steps] = None  # none if the observer fails before the method
        with boundary:
            steps = observe(*arguments, **keywords)
            next(steps)
            self._steps = steps

    def __enter__(self) -> _Call:
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        if self._steps is None:
            return
        try:
            if error is None:
                self._steps.send(self.result)
            else:
                self._steps.throw(error)
        except StopIteration:
            pass
        except BaseException as failure:
            # The method's own error is raised anyway; StopIteration leaves a generator as a RuntimeError's cause.
            if error is not None and (failure is error or failure.__cause__ is error):
                return
            if not isinstance(failure, Exception):
                raise  # Ctrl-C, or the exit of a signal handler
            self._boundary.record(failure)


def sample_count(data: Any) -> Optional[int]:
    """The number of samples in a dataset, or ``None`` if it is unknown."""
    with suppress(Exception):  # a property of the dataset's own may raise anything
        parts = (data, getattr(data, "x", None))
        counts_batches = any(hasattr(part, name) for part in parts for name in _OF_BATCHES)
        if not counts_batches and not isinstance(data, (str, bytes, dict)):
            return length(data)
    return None  # a path, a batch by field, or a number of batches
