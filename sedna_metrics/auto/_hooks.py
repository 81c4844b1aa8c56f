"""A hook: which method of Sedna's it observes, in which shape, and what takes the method's place.

A hook is applied only where the method has the shape that was read in Sedna's source; elsewhere it is skipped with one
warning, and the worker runs on unobserved in this respect.
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
"""Makes, of a method, what takes its place."""

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
        """Put the wrapper in the method's place.

        Returns:
            what undoes it, or ``None`` where the method has another shape than the one known.
        """
        owner = getattr(module, self.owner, None)
        original = vars(owner).get(self.method) if isinstance(owner, type) else None
        difference = self._difference(original)
        if difference:
            _LOGGER.warning("%s %s, so it is not observed; the worker continues", self.name, difference)
            return None
        assert isinstance(owner, type)
        assert original is not None
        wrapper = _alike(self.wrap(original), original)
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


def _alike(wrapper: Function, original: Function) -> Function:
    """Give the wrapper the names and the signature of what it replaces."""
    functools.update_wrapper(wrapper, original)
    # getfullargspec, which Sedna's backends ask, does not follow __wrapped__.
    wrapper.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return wrapper


def length(data: Any) -> Optional[int]:
    """How many samples a data set has, or ``None`` where it does not say.

    ``len()`` of Sedna's data sources fails before they were parsed (lib/sedna/datasources/__init__.py).
    """
    if isinstance(data, (str, bytes, dict)):
        return None  # a path, or a batch by field: its length counts something else
    try:
        if any(hasattr(each, name) for each in (data, getattr(data, "x", None)) for name in _OF_BATCHES):
            return None
        return len(data)
    except Exception:
        # The user's own __len__ or property may raise anything; then the number is not known, which is not our failure.
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
    """Observe the method from its first call on.

    Series come into being when an observation is made, and a worker must not show those of its task's other roles.

    Args:
        boundary: takes what fails as the observation is made; the method is not observed then.
        observation: gives the decorator.
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
    """What is under way for each job object of Sedna's, by the object's ``id()`` while its method runs."""

    def __init__(self, boundary: ErrorBoundary) -> None:
        super().__init__()
        self._boundary = boundary

    def of(self, job: object) -> Optional[T]:
        """What is under way for this job."""
        return self.get(id(job))

    @contextmanager
    def run(self, job: object, make: Callable[[], Any]) -> Iterator[None]:
        """The body is the run that ``make`` returns.

        A run within a run of the same job is part of it: ``LifelongLearning.train`` may call ``update``.
        """
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
