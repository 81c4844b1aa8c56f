"""What loops and the callbacks of all frameworks share: the training in progress, or one of their own."""

from __future__ import annotations

import os
import sys
from functools import partial, wraps
from importlib import import_module
from threading import get_ident
from typing import Any, Callable, List, Optional

from sedna_metrics import _runtime
from sedna_metrics._noop import Noop
from sedna_metrics._worker import Worker
from sedna_metrics.tasks._evaluation import Evaluation
from sedna_metrics.tasks._time_left import whole_number
from sedna_metrics.tasks._training import Training

_TASKS = {"federatedlearningjob": "federated_learning", "lifelonglearningjob": "lifelong_learning"}


def running_worker() -> Optional[Worker]:
    """The running worker, but only in the first rank of a distributed training on this node: it reports for all.

    Source: the variable LOCAL_RANK of torchrun, Lightning and accelerate.
    """
    return None if os.environ.get("LOCAL_RANK", "0") not in ("", "0") else _runtime.running()


def active_run() -> Any:
    """The training or evaluation in progress in the running worker, the latest; ``None`` if there is none."""
    worker = running_worker()
    runs = worker.active_runs if worker is not None else []
    return next((run for run in reversed(runs) if isinstance(run, (Training, Evaluation))), None)


class Fit:
    """Reports a framework's ``fit``, or a loop, to the training in progress, or to one of its own.

    Most frameworks do not report that a ``fit`` raised. A training of its own that has not ended counts as failed when
    the next ``fit`` begins in this thread, or when the worker closes. A loop then ends as the worker does.
    """

    def __init__(self, *, is_loop: bool = False) -> None:
        self._is_loop = is_loop
        self._open_runs: List[Callable[[bool], None]] = []
        self._now: Callable[[], float] = lambda: 0.0
        self._reset()

    def _reset(self) -> None:
        self._thread = get_ident()
        self._step_began: Optional[float] = None
        self.training: Any = Noop()
        self.in_epoch = False
        self.has_stopped_early: Callable[[], bool] = lambda: False  # a fit that never reported its end

    def begins(self, epochs: Any = None, samples: Any = None) -> None:
        worker = running_worker()
        if worker is None:
            return
        for run in list(worker.open_runs):
            if isinstance(run, Fit) and (run is self or (not run._is_loop and run._thread == get_ident())):
                run(False)  # a thread runs one fit at a time: this one has raised, or stopped early
        self._reset()
        self._now = worker.clock.monotonic
        self.training = active_run()
        if not isinstance(self.training, Training):
            self.training = getattr(worker, _TASKS.get(worker.identity.kind, "incremental_learning")).training()
            self.training.begin()
            self._open_runs = worker.open_runs
            self._open_runs.append(self)
        if samples is not None:
            self.training.samples(samples)
        if epochs is not None:
            self.training.plan(epochs)

    def epoch_begins(self, number: Any = None) -> None:
        """An epoch begins, with its number from 0; the last one is done, if it was still open."""
        self.epoch_ends()
        self.training.epoch_begins(number)
        self.in_epoch = True

    def epoch_ends(self, loss: Any = None, *, is_event: bool = True) -> None:
        self.loss(loss)
        if self.in_epoch:
            self.in_epoch = False
            self.training.epoch_ends(is_event=is_event)

    def step_begins(self, done: Any = None, count: Any = None) -> None:
        """A step begins, after ``done`` of the epoch's ``count`` steps."""
        self._step_began = self._now()
        self._within_epoch(done, count)

    def step_ends(self, done: Any = None, count: Any = None) -> None:
        if self._step_began is not None:
            self.training.step_took(self._now() - self._step_began)
            self._step_began = None
        self._within_epoch(done, count)

    def _within_epoch(self, done: Any, count: Any) -> None:
        if whole_number(count) and self.training.planned is not None:
            self.training.within_epoch(done / count)

    def loss(self, value: Any) -> None:
        if value is not None:
            self.training.loss(value)

    def ends(self, output_model: Any = None) -> None:
        """The ``fit`` has ended well, with the model at this URL."""
        self.epoch_ends()
        if output_model:
            self.training.output_model(output_model)
        self.leaves()

    def leaves(self, error: Optional[BaseException] = None) -> None:
        """It is over, and has failed if there is an error. A second call does nothing."""
        if self in self._open_runs:  # in a forked child it is not: it is the parent's
            self._open_runs.remove(self)
            self.training.end(error)
        self._reset()

    def __call__(self, failed: bool) -> None:
        """No end was reported, and the worker closes, having ``failed`` or not, or the next ``fit`` begins."""
        has_completed = not failed if self._is_loop else self.has_stopped_early()
        self.leaves(None if has_completed else RuntimeError("the training did not come to its end"))


def framework_class(name: str, *modules: str) -> Any:
    """Class ``name`` of the first of ``modules`` that the script has imported, else of the first that is installed."""
    for module in sorted(modules, key=lambda module: module.split(".")[0] not in sys.modules):
        try:
            return getattr(import_module(module), name)
        except ImportError:
            continue  # TensorFlow without its Keras, say: another one may be there
    raise ImportError(f"this callback needs one of {', '.join(modules)}, and none can be imported")


def callback_of(factory: Callable[..., Any], base: type, hooks: type, **arguments: Any) -> Any:
    """A callback of the framework's class ``base`` with the methods of ``hooks``, ``arguments``, and a ``fit``.

    The methods do nothing without a running worker, and return what ``base`` returns. Frameworks pickle and copy their
    callbacks; ``factory(**arguments)`` makes the copy.
    """
    methods = {
        name: _contained(method, getattr(base, name, lambda *_, **__: None))
        for name, method in vars(hooks).items()
        if callable(method) and not name.startswith("__")
    }
    reduce = {"__reduce__": lambda self: (partial(factory, **arguments), ())}
    callback: Any = type("SednaCallback", (hooks, base), {**arguments, **methods, **reduce})()
    callback.fit = Fit()
    return callback


def _contained(hook: Callable[..., None], original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(hook)
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        worker = running_worker()
        if worker is not None:
            with worker.guard:
                hook(*arguments, **keywords)
        return original(*arguments, **keywords)

    return wrapper
