"""Decorators and context managers that record count, duration and errors of a piece of work.

One object serves both: ``@ji.edge_inference`` above a function, ``with ji.edge_inference():`` around a block. It works
on functions, methods, coroutine functions, generators and async generators. ``inspect.signature`` and
``inspect.getfullargspec`` stay the same: Sedna passes an estimator only the arguments that ``getfullargspec`` names
(lib/sedna/backend/base.py), and that follows ``__signature__``, not ``__wrapped__``.
"""

from __future__ import annotations

import functools
import inspect
import sys
from time import perf_counter
from types import CoroutineType
from typing import Any, AsyncIterator, Callable, Generator, List, Optional, TypeVar, overload

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.metrics import FLUSH_EVERY, CallHistogram

F = TypeVar("F", bound=Callable[..., Any])

_FLUSH_MASK = FLUSH_EVERY - 1


class Observation:
    """Observes every call of the function that it decorates, and every block that it is the context manager of.

    Results and exceptions pass through unchanged. Work that raises an ``Exception`` counts as an error and is not
    timed; cancelled or interrupted work counts as neither success nor error. A generator is timed from its first to its
    last item; one that is closed early counts as finished. A function that returns a coroutine or a future, of
    asyncio or of an executor, is timed until that is done. ``on_failure`` is called with the exception of failed work.
    """

    __slots__ = ("_boundary", "_clock", "_on_failure", "_recorder")

    def __init__(
        self,
        recorder: CallHistogram,
        on_failure: Callable[[Exception], None],
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
        """Decorate ``function`` (TypeError for a class, or no callable); without one, return a context manager."""
        if function is None:
            return Span(self)
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self(function.__func__))
        if isinstance(function, type) or not callable(function):
            raise TypeError(f"{function!r} cannot be observed: decorate a function, a method or a coroutine function")
        with self._boundary:
            return self._wrap(function)
        return function  # not observed

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        is_object = not (inspect.isroutine(function) or isinstance(function, functools.partial))
        called = getattr(type(function), "__call__", function) if is_object else function  # noqa: B004
        if inspect.isasyncgenfunction(called):
            wrapper = self._wrap_async_generator(function)
        elif inspect.iscoroutinefunction(called):
            wrapper = self._wrap_coroutine_function(function)
        elif inspect.isgeneratorfunction(called):
            wrapper = self._wrap_generator(function)
        else:
            wrapper = self._wrap_function(function)
        functools.update_wrapper(wrapper, function)
        try:
            wrapper.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            wrapper.__dict__.pop("__signature__", None)  # some functions written in C have none
        return wrapper

    def _wrap_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        recorder, failed, clock = self._recorder, self._failed, self._clock
        start, finish, flush_pending = recorder.start, recorder.finish, self._flush_pending
        not_awaitable: type = type(None)  # the type of the last result; that spares a look at the next one

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            nonlocal not_awaitable
            if not start() & _FLUSH_MASK:
                flush_pending()
            began = clock()
            try:
                result = function(*args, **kwargs) if kwargs else function(*args)  # the usual call is 5 % quicker
            except BaseException as error:
                failed(error)
                raise
            if result is not None and type(result) is not not_awaitable:
                if isinstance(result, CoroutineType):
                    return self._await(result, began)
                if hasattr(type(result), "add_done_callback") and hasattr(type(result), "cancelled"):
                    # a future of asyncio or of an executor
                    with self._boundary:
                        result.add_done_callback(functools.partial(self._done, began))
                    return result
                not_awaitable = type(result)
            finish(clock() - began)
            return result

        return wrapper

    def _wrap_coroutine_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        recorder, failed, clock = self._recorder, self._failed, self._clock
        start, finish, flush_pending = recorder.start, recorder.finish, self._flush_pending

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            if not start() & _FLUSH_MASK:
                flush_pending()
            began = clock()
            try:
                result = await (function(*args, **kwargs) if kwargs else function(*args))
            except BaseException as error:
                failed(error)
                raise
            finish(clock() - began)
            return result

        return wrapper

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with self():
                return (yield from function(*args, **kwargs))

        return wrapper

    def _wrap_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            with self():
                inner = function(*args, **kwargs)
                try:
                    # There is no "yield from" here: values sent and exceptions thrown in are passed on by hand.
                    item = await _first(inner)
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

    async def _await(self, awaitable: Any, began: float) -> Any:
        try:
            result = await awaitable
        except BaseException as error:
            self._failed(error)
            raise
        self._recorder.finish(self._clock() - began)
        return result

    def _done(self, began: float, future: Any) -> None:
        with self._boundary:
            if future.cancelled():
                self._recorder.cancel()
            elif future.exception() is not None:
                self._failed(future.exception())
            else:
                self._recorder.finish(self._clock() - began)

    def _flush_pending(self) -> None:
        with self._boundary:
            self._recorder.flush_pending()

    def _failed(self, error: BaseException) -> None:
        with self._boundary:
            # Before Python 3.8 asyncio's CancelledError is an Exception.
            if isinstance(error, Exception) and type(error).__name__ != "CancelledError":
                self._recorder.fail()
                self._on_failure(error)
            else:
                self._recorder.cancel()


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
        if not observation._recorder.start() & _FLUSH_MASK:
            observation._flush_pending()
        self._began.append(observation._clock())
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        observation = self._observation
        # Blocks of several threads may be mixed up here; their number and the sum of their durations stay right.
        began = self._began.pop()
        if error is None or isinstance(error, GeneratorExit):
            observation._recorder.finish(observation._clock() - began)
        else:
            observation._failed(error)

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        self.__exit__(kind, error, trace)


def _first(items: Any) -> Any:
    """Begin an async generator that the event loop does not know of: ours closes it, and the loop would, too."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return items.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)
