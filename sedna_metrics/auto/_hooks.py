"""Hooks: which method of Sedna's is observed, and by what wrapper.

A hook is applied only if the method has the signature that Sedna's source has; otherwise it is skipped, with a warning.
"""

from __future__ import annotations

import functools
import inspect
import logging
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple, TypeVar

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics._noop import Noop

T = TypeVar("T")
Function = Callable[..., Any]
Wrap = Callable[[Function], Function]
"""Returns a wrapper of a method."""

_LOGGER = logging.getLogger("sedna_metrics")


class Hook(NamedTuple):
    """One method to observe."""

    module: str
    """Exact name of the module that defines the class."""
    owner: str
    """The class."""
    method: str
    arguments: Tuple[str, ...]
    """The first positional arguments after ``self``; a later Sedna may have more behind them."""
    wrap: Wrap
    asynchronous: bool = False

    @property
    def name(self) -> str:
        """The method's full name."""
        return f"{self.module}.{self.owner}.{self.method}"

    def apply(self, module: ModuleType) -> Optional[Callable[[], None]]:
        """Wrap the method; returns what undoes it, or ``None`` if the method is not the known one."""
        owner = getattr(module, self.owner, None)
        original = vars(owner).get(self.method) if isinstance(owner, type) else None
        difference = self._difference(original)
        if difference:
            _LOGGER.warning("%s %s, so it is not observed; the worker continues", self.name, difference)
            return None
        assert isinstance(owner, type)
        assert original is not None
        wrapper = functools.update_wrapper(self.wrap(original), original)
        # getfullargspec, which Sedna's backends ask, does not follow __wrapped__.
        wrapper.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        setattr(owner, self.method, wrapper)

        def undo() -> None:
            if vars(owner).get(self.method) is wrapper:
                setattr(owner, self.method, original)
            else:
                _LOGGER.warning("%s was patched by another library meanwhile; the observation stays", self.name)

        return undo

    def _difference(self, method: Any) -> str:
        if not inspect.isfunction(method):
            return "does not exist"
        if inspect.iscoroutinefunction(method) != self.asynchronous:
            return "is asynchronous" if not self.asynchronous else "is not asynchronous"
        known = ("self", *self.arguments)
        found = tuple(inspect.getfullargspec(method).args)
        if found[: len(known)] != known:
            return f"takes ({', '.join(found)}) instead of ({', '.join(known)})"
        return ""


def length(data: Any) -> Optional[int]:
    """The number of samples in a dataset, or ``None`` if it is unknown.

    ``len()`` of Sedna's data sources fails before they were parsed (lib/sedna/datasources/__init__.py).
    """
    try:
        parts = (data, getattr(data, "x", None))
        if isinstance(data, (str, bytes, dict)) or any(hasattr(part, name) for part in parts for name in _OF_BATCHES):
            return None  # a path, a batch by field, or a number of batches
        return len(data)
    except Exception:  # the dataset's own __len__ or property may raise anything
        return None


#: Attributes of data sets whose length counts batches: PyTorch's DataLoader, MindSpore, tf.data, Keras' Sequence.
_OF_BATCHES = ("batch_size", "get_batch_size", "unbatch", "on_epoch_end")


def before(boundary: ErrorBoundary, note: Function) -> Wrap:
    """Call ``note`` with the method's arguments, then the method."""

    def wrap(original: Function) -> Function:
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            with boundary:
                note(*arguments, **keywords)
            return original(*arguments, **keywords)

        return wrapper

    return wrap


def after(boundary: ErrorBoundary, note: Function) -> Wrap:
    """Call the method, then ``note`` with what it returned and its arguments."""

    def wrap(original: Function) -> Function:
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            result = original(*arguments, **keywords)
            with boundary:
                note(result, *arguments, **keywords)
            return result

        return wrapper

    return wrap


def observed_late(boundary: ErrorBoundary, observation: Callable[[], Wrap]) -> Wrap:
    """Observe the method with a decorator that is made at its first call.

    Its series exist from then on: a worker must not expose those of its task's other roles.
    """

    def wrap(original: Function) -> Function:
        observed: Optional[Function] = None

        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            nonlocal observed
            if observed is None:
                with boundary:
                    observed = observation()(original)
                observed = observed or original
            return observed(*arguments, **keywords)

        return wrapper

    return wrap


class Runs(Dict[int, T]):
    """The runs in progress, by the ``id()`` of Sedna's job object."""

    def __init__(self, boundary: ErrorBoundary) -> None:
        super().__init__()
        self._boundary = boundary

    def of(self, job: object) -> Optional[T]:
        """The run of this job."""
        return self.get(id(job))

    @contextmanager
    def run(self, job: object, make: Callable[[], Any]) -> Iterator[None]:
        """The body is the run that ``make`` returns. A run within a run of the same job is part of it."""
        if id(job) in self:
            yield
            return
        run: Any = Noop()
        with self._boundary:
            run = self[id(job)] = make()
        try:
            with run:
                yield
        finally:
            self.pop(id(job), None)

    def around(self, make: Function) -> Wrap:
        """The method is a run, which ``make`` returns, called with the method's arguments."""

        def wrap(original: Function) -> Function:
            def wrapper(job: Any, *arguments: Any, **keywords: Any) -> Any:
                with self.run(job, lambda: make(job, *arguments, **keywords)):
                    return original(job, *arguments, **keywords)

            return wrapper

        return wrap
