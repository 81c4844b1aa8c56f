"""Decorators and context managers that time, count and note failures of a piece of work.

One object serves both: ``@ji.edge_inference`` above a function, ``with ji.edge_inference():`` around a block.
Functions, methods, coroutines, generators and async generators keep what they are, and what ``inspect.signature`` and
``inspect.getfullargspec`` say of them: Sedna passes an estimator only the arguments that ``getfullargspec`` names
(lib/sedna/backend/base.py), and that honours ``__signature__``, not ``__wrapped__``.
"""

from __future__ import annotations

import functools
import inspect
import sys
from time import perf_counter
from types import TracebackType
from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    List,
    NoReturn,
    Optional,
    Protocol,
    Type,
    TypeVar,
    overload,
)

from sedna_metrics._boundary import ErrorBoundary, contained_block
from sedna_metrics._noop import Noop
from sedna_metrics.metrics import FOLD_EVERY

F = TypeVar("F", bound=Callable[..., Any])

_FOLD_MASK = FOLD_EVERY - 1


class Recorder(Protocol):
    """What is told about the work; :class:`sedna_metrics.metrics.CallHistogram` is one."""

    start: Callable[[], int]
    """Work begins. Gives its number, from 1; at each multiple of FOLD_EVERY, ``fold`` is called."""
    finish: Callable[[float], None]
    """Work ended well after this many seconds."""
    fail: Callable[[], int]
    """Work ended by an exception."""
    abandon: Callable[[], int]
    """Work ended by what is no fault of its own: it was cancelled, interrupted or closed."""

    def fold(self) -> None:
        """Tidy up."""


class Observation:
    """Observes every call of what it decorates, and every block that it is the context manager of.

    What the work returns or raises passes through untouched; an exception is the same object. Work that raises an
    ``Exception`` counts as failed and is not timed; work that is cancelled or interrupted counts as neither. A
    generator is timed from its first to its last item; one that is closed early counts as finished.

    Args:
        recorder: is told about start, end and failure.
        on_failure: called with the exception of work that failed.
        clock: gives seconds.
        boundary: takes what goes wrong here; the work does not see it.
    """

    __slots__ = ("_boundary", "_clock", "_on_failure", "_recorder")

    def __init__(
        self,
        recorder: Recorder,
        on_failure: Callable[[BaseException], None],
        clock: Callable[[], float] = perf_counter,
        boundary: Optional[ErrorBoundary] = None,
    ) -> None:
        self._recorder = recorder
        self._on_failure = on_failure
        self._clock = clock
        self._boundary = boundary or ErrorBoundary()

    @overload
    def __call__(self, function: F) -> F: ...

    @overload
    def __call__(self, function: None = None) -> Span: ...

    def __call__(self, function: Any = None) -> Any:
        """Decorate ``function``; without one, give a context manager that is also a decorator.

        Raises:
            TypeError: ``function`` is a class or cannot be called.
        """
        if function is None:
            try:
                return Span(self)
            except Exception as why:  # where all is well this costs less than entering the boundary
                self._boundary.record(why)
                return Noop()
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self(function.__func__))
        if isinstance(function, type) or not callable(function):
            raise TypeError(f"{function!r} cannot be observed: decorate a function, a method or a coroutine function")
        with self._boundary:
            return self._wrap(function)
        return function  # unobserved, but itself

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        called = _what_runs(function)
        if inspect.isasyncgenfunction(called):
            wrapper = self._wrap_async_generator(function)
        elif inspect.iscoroutinefunction(called):
            wrapper = self._wrap_coroutine(function)
        elif inspect.isgeneratorfunction(called):
            wrapper = self._wrap_generator(function)
        else:
            wrapper = self._wrap_function(function)
        functools.update_wrapper(wrapper, function)
        try:
            wrapper.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            # Some functions written in C have none; then the wrapper tells none either.
            wrapper.__dict__.pop("__signature__", None)
        return wrapper

    def _wrap_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        recorder, failed, boundary = self._recorder, self._failed, self._boundary
        start, finish, fold, clock = recorder.start, recorder.finish, recorder.fold, self._clock

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if not start() & _FOLD_MASK:
                with boundary:
                    fold()
            began = clock()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                with boundary:
                    failed(error)
                raise
            finish(clock() - began)
            return result

        return wrapper

    def _wrap_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        recorder, failed, boundary = self._recorder, self._failed, self._boundary
        start, finish, fold, clock = recorder.start, recorder.finish, recorder.fold, self._clock

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            if not start() & _FOLD_MASK:
                with boundary:
                    fold()
            began = clock()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                with boundary:
                    failed(error)
                raise
            finish(clock() - began)
            return result

        return wrapper

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with contained_block(self._boundary, self):
                return (yield from function(*args, **kwargs))

        return wrapper

    def _wrap_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            with contained_block(self._boundary, self):
                inner = function(*args, **kwargs)
                first: Optional[Awaitable[Any]] = None
                with self._boundary:
                    first = _first_of(inner)
                try:
                    # There is no "yield from" here: what is sent and thrown in is handed on by hand.
                    item = await (first or inner.__anext__())
                    while True:
                        try:
                            sent = yield item
                        except GeneratorExit:
                            raise
                        except BaseException as error:
                            item = await inner.athrow(error)
                        else:
                            item = await inner.asend(sent)
                except StopAsyncIteration:
                    return
                finally:
                    await inner.aclose()

        return wrapper

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self._recorder.fail()
            self._on_failure(error)
        else:
            self._recorder.abandon()

    def __enter__(self) -> NoReturn:
        raise TypeError("one object observes many blocks: write it with parentheses, with ...edge_inference():")

    def __exit__(self, *_: object) -> None:
        """Never reached: it is here so that Python asks for :meth:`__enter__`, which says what is missing."""


class Span:
    """One piece of work: a context manager (``with`` and ``async with``), or a decorator.

    Entered again before it was left, it observes each of the blocks.
    """

    __slots__ = ("_began", "_observation")

    def __init__(self, observation: Observation) -> None:
        self._observation = observation
        self._began: List[float] = []

    def __call__(self, function: F) -> F:
        """Decorate ``function``, as :class:`Observation` does."""
        return self._observation(function)

    def __enter__(self) -> Span:
        observation = self._observation
        recorder = observation._recorder
        if not recorder.start() & _FOLD_MASK:
            with observation._boundary:
                recorder.fold()
        self._began.append(observation._clock())
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        observation = self._observation
        # Blocks of several threads may be mixed up here; their number and the sum of their durations are right even so.
        began = self._began.pop()
        if error is None or isinstance(error, GeneratorExit):
            observation._recorder.finish(observation._clock() - began)
        else:
            with observation._boundary:
                observation._failed(error)

    async def __aenter__(self) -> Span:
        with self._observation._boundary:
            self.__enter__()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        with self._observation._boundary:
            self.__exit__(kind, error, trace)


def _what_runs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, or the method that runs when an object is called: a model server's handler, for one."""
    if inspect.isroutine(function) or isinstance(function, functools.partial):
        return function
    return getattr(function, "__call__", function)  # noqa: B004 - asked for what it is, not whether it is there


def _first_of(items: Any) -> Awaitable[Any]:
    """Begin an async generator that the event loop does not know of.

    The loop closes all that it knows when it ends, at the same time; this one is closed by the one around it.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        first: Awaitable[Any] = items.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)
    return first
