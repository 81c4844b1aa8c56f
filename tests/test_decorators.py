"""Decorators and context managers around the user's own code."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sedna_metrics.decorators import Observation


class Recorder:
    """Notes what it is told."""

    def __init__(self):
        self.started = self.failed = self.cancelled = self.flushed = 0
        self.seconds = []
        self.finish = self.seconds.append

    def start(self):
        self.started += 1
        return self.started

    def fail(self):
        self.failed += 1
        return self.failed

    def cancel(self):
        self.cancelled += 1

    def flush_pending(self):
        self.flushed += 1

    @property
    def tally(self):
        return self.started, len(self.seconds), self.failed


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def failures():
    return []


@pytest.fixture
def observe(recorder, failures):
    return Observation(recorder, failures.append)


class Boom(Exception):
    pass


def test_a_function_gives_what_it_gave(observe, recorder):
    assert observe(lambda a, b=2: a + b)(1, b=5) == 6
    assert recorder.tally == (1, 1, 0)


def test_the_users_exception_is_the_same_object(observe, recorder, failures):
    error = Boom()

    @observe
    def fails():
        raise error

    with pytest.raises(Boom) as caught:
        fails()
    assert caught.value is error
    assert failures == [error]
    assert recorder.tally == (1, 0, 1)


@pytest.mark.parametrize("call", [False, True])
def test_it_decorates_with_and_without_parentheses(observe, recorder, call):
    decorator = observe() if call else observe

    @decorator
    def work():
        return 1

    assert work() == 1
    assert recorder.tally == (1, 1, 0)


def test_it_is_a_context_manager_too(observe, recorder):
    with observe():
        pass
    with pytest.raises(Boom), observe():
        raise Boom
    assert recorder.tally == (2, 1, 1)


def test_it_is_an_async_context_manager_too(observe, recorder):
    async def main():
        async with observe():
            await asyncio.sleep(0)

    asyncio.run(main())
    assert recorder.tally == (1, 1, 0)


def test_a_coroutine_is_timed_until_it_is_done(observe, recorder):
    @observe
    async def work():
        await asyncio.sleep(0.02)
        return 7

    assert inspect.iscoroutinefunction(work)
    assert asyncio.iscoroutinefunction(work) if not hasattr(asyncio, "timeout") else True
    assert asyncio.run(work()) == 7
    assert recorder.seconds[0] >= 0.02


def test_a_cancelled_coroutine_counts_neither_as_finished_nor_as_failed(observe, recorder, failures):
    @observe
    async def work():
        await asyncio.sleep(60)

    async def main():
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert recorder.tally == (1, 0, 0)
    assert recorder.cancelled == 1
    assert failures == []


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_fault_of_the_work(observe, recorder, ending):
    @observe
    def work():
        raise ending

    with pytest.raises(ending):
        work()
    with pytest.raises(ending), observe():
        raise ending
    assert recorder.tally == (2, 0, 0)
    assert recorder.cancelled == 2


def test_a_coroutine_that_is_closed_is_under_way_no_longer(observe, recorder):
    @observe
    async def work():
        await asyncio.sleep(0)

    running = work()
    running.send(None)
    running.close()
    assert recorder.tally == (1, 0, 0)
    assert recorder.cancelled == 1


def test_a_span_that_is_entered_again_observes_each_block(observe, recorder):
    span = observe()
    with span:
        time.sleep(0.02)
        with span:
            time.sleep(0.01)
    assert recorder.tally == (2, 2, 0)
    inner, outer = recorder.seconds
    assert inner >= 0.01
    assert outer >= 0.03


def test_an_object_whose_call_is_a_generator_is_timed_to_its_last_item(observe, recorder):
    class Stream:
        def __call__(self):
            yield 1
            time.sleep(0.02)

    assert list(observe(Stream())()) == [1]
    assert recorder.seconds[0] >= 0.02


def test_an_async_generator_left_open_is_closed_without_a_word(observe, recorder):
    complaints = []

    @observe
    async def stream():
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0.01)

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        kept.append(stream())
        return await kept[0].__anext__()

    kept = []
    assert asyncio.run(main()) == 1
    assert complaints == []
    assert recorder.tally == (1, 1, 0)


def test_an_object_whose_call_is_a_coroutine_is_awaited(observe, recorder):
    class Handler:
        async def __call__(self):
            return 3

    wrapped = observe(Handler())
    assert asyncio.run(wrapped()) == 3
    assert recorder.tally == (1, 1, 0)


def test_a_generator_counts_once_it_is_exhausted(observe, recorder):
    @observe
    def work(n):
        got = yield 0
        yield got
        return n

    assert inspect.isgeneratorfunction(work)
    generator = work(5)
    assert recorder.tally == (0, 0, 0)
    assert next(generator) == 0
    assert generator.send("sent") == "sent"
    assert recorder.tally == (1, 0, 0)
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == 5
    assert recorder.tally == (1, 1, 0)


def test_a_generator_that_is_closed_early_has_finished(observe, recorder):
    @observe
    def work():
        yield 1
        yield 2

    generator = work()
    next(generator)
    generator.close()
    assert recorder.tally == (1, 1, 0)


def test_a_generator_that_raises_has_failed(observe, recorder):
    @observe
    def work():
        yield 1
        raise Boom

    with pytest.raises(Boom):
        list(work())
    assert recorder.tally == (1, 0, 1)


def test_an_async_generator_passes_on_what_is_sent_and_thrown(observe, recorder):
    @observe
    async def work():
        got = yield 1
        try:
            yield got
        except Boom:
            yield "caught"

    async def main():
        generator = work()
        assert await generator.__anext__() == 1
        assert await generator.asend("sent") == "sent"
        assert await generator.athrow(Boom()) == "caught"
        with pytest.raises(StopAsyncIteration):
            await generator.__anext__()

    assert inspect.isasyncgenfunction(work)
    asyncio.run(main())
    assert recorder.tally == (1, 1, 0)


def test_an_async_generator_that_is_closed_early_closes_the_users(observe, recorder):
    closed = []

    @observe
    async def work():
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def main():
        generator = work()
        await generator.__anext__()
        await generator.aclose()

    asyncio.run(main())
    assert closed == [True]
    assert recorder.tally == (1, 1, 0)


def test_methods_of_all_sorts_work(observe, recorder):
    class Model:
        def __init__(self):
            self.bias = 1

        @observe
        def method(self, x):
            return x + self.bias

        @observe
        @staticmethod
        def static(x):
            return x

        @staticmethod
        @observe
        def static_inside(x):
            return x

        @observe
        @classmethod
        def class_(cls, x):
            return cls, x

    assert Model().method(1) == 2
    assert Model.static(3) == Model.static_inside(3) == 3
    assert Model.class_(4) == (Model, 4)
    assert recorder.tally == (4, 4, 0)


def _full(a, b: int = 1, *args, c, d: str = "x", **kwargs) -> bool:
    """Doc."""


if sys.version_info >= (3, 8):
    exec("def _positional(a, /, b): pass")
else:

    def _positional(a, b):
        pass


async def _coroutine(data=None, **params):
    pass


class _Estimator:
    def train(self, train_data, valid_data=None, **kwargs):
        pass


@pytest.mark.parametrize("function", [_full, _positional, _coroutine, _Estimator.train, functools.partial(_full, 1)])
def test_what_inspect_says_of_a_function_stays_as_it_was(observe, function):
    wrapped = observe(function)
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert inspect.getfullargspec(wrapped) == inspect.getfullargspec(function)
    assert inspect.iscoroutinefunction(wrapped) == inspect.iscoroutinefunction(function)
    if hasattr(function, "__name__"):
        assert (wrapped.__name__, wrapped.__doc__, wrapped.__wrapped__) == (
            function.__name__,
            function.__doc__,
            function,
        )


def test_a_bound_method_keeps_its_argspec(observe):
    estimator, wrapped = _Estimator(), type("Wrapped", (), {"train": observe(_Estimator.train)})()
    assert inspect.getfullargspec(wrapped.train) == inspect.getfullargspec(estimator.train)


def test_decorators_stack(observe, recorder):
    assert observe(observe(functools.lru_cache(maxsize=None)(lambda: 1)))() == 1
    assert recorder.tally == (2, 2, 0)


def test_a_recursive_function_counts_each_call(observe, recorder):
    @observe
    def down(n):
        return n and down(n - 1)

    down(4)
    assert recorder.tally == (5, 5, 0)


@pytest.mark.parametrize("thing", [42, "name", int, type("Model", (), {})])
def test_what_cannot_be_observed_is_refused_at_once(observe, thing):
    with pytest.raises(TypeError, match="cannot be observed"):
        observe(thing)


def test_pending_durations_are_flushed_every_256_calls(observe, recorder):
    work = observe(lambda: None)
    for _ in range(1024):
        work()
    assert recorder.flushed == 4


def through_a_decorator(function):
    """An ordinary decorator: what it returns is no coroutine function, but its result is awaitable."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    del wrapper.__wrapped__
    return wrapper


async def wait_and(error=None):
    await asyncio.sleep(0.02)
    if error is not None:
        raise error
    return "result"


class CallableObject:
    def __call__(self, error=None):
        return wait_and(error)


AWAITABLES = {
    "behind a decorator": through_a_decorator(wait_and),
    "partial": functools.partial(lambda error=None: wait_and(error)),
    "callable object": CallableObject(),
    "task": lambda error=None: asyncio.ensure_future(wait_and(error)),
}


@pytest.mark.parametrize("kind", AWAITABLES)
def test_a_function_that_returns_an_awaitable_is_timed_until_it_is_done(observe, recorder, failures, kind):
    work = observe(AWAITABLES[kind])

    async def main():
        assert await work() == "result"
        with pytest.raises(OSError, match="broken"):
            await work(OSError("broken"))
        cancelled = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await asyncio.sleep(0)

    asyncio.run(main())
    assert recorder.tally == (3, 1, 1)
    assert recorder.seconds[0] >= 0.02
    assert (len(failures), recorder.cancelled) == (1, 1)


def test_a_future_that_is_returned_stays_the_same_object(observe):
    async def main():
        future = asyncio.get_running_loop().create_future()
        assert observe(lambda: future)() is future
        future.set_result(1)

    asyncio.run(main())


def test_a_future_of_an_executor_is_timed_until_it_is_done(observe, recorder, failures):
    def work(error=None):
        time.sleep(0.02)
        if error:
            raise error

    with ThreadPoolExecutor(1) as pool:
        submit = observe(lambda error=None: pool.submit(work, error))
        done, failed, cancelled = submit(), submit(OSError("broken")), submit()
        assert cancelled.cancel()
        assert recorder.tally == (3, 0, 0)
        assert done.result() is None
        assert "broken" in str(failed.exception())
    assert recorder.tally == (3, 1, 1)
    assert recorder.seconds[0] >= 0.02
    assert (failures, recorder.cancelled) == ([failed.exception()], 1)


def test_a_result_whose_callbacks_are_not_those_of_a_future_comes_back(observe, recorder):
    class Odd:
        def add_done_callback(self, call):
            raise AssertionError("not called")

    odd = Odd()
    assert observe(lambda: odd)() is odd
    assert len(recorder.seconds) == 1


def test_an_awaitable_after_plain_results_is_noticed(observe, recorder):
    results = [1, 2, wait_and(), 3]
    work = observe(lambda: results.pop(0))

    async def main():
        return [work(), work(), await work(), work()]

    assert asyncio.run(main()) == [1, 2, "result", 3]
    assert recorder.seconds[2] >= 0.02
    assert recorder.tally == (4, 4, 0)
