"""What the callbacks of all frameworks share: one ``fit``, from its first hook to its last."""

from __future__ import annotations

import sys
from functools import wraps
from importlib import import_module
from typing import Any, Callable, Dict, Optional, Tuple
from weakref import WeakMethod

from sedna_metrics import _runtime
from sedna_metrics.integrations._running import OwnTraining, UnfinishedError, active_run
from sedna_metrics.tasks._context import length
from sedna_metrics.tasks._time_left import whole_number
from sedna_metrics.tasks._training import Training


class Fit:
    """Reports a ``fit`` to the training in progress, or to one of its own.

    Most frameworks do not report that a ``fit`` raised. A training of its own that has not ended counts as failed when
    the next ``fit`` begins, when the callback is gone, or when the worker closes.

    Args:
        samples: number of training samples, if the framework does not give it to its callbacks.
        output_model: URL of the model after a ``fit`` that ended well.
    """

    def __init__(self, samples: Any = None, output_model: Any = None) -> None:
        self._samples = samples
        self._output_model = output_model
        self._own: Optional[OwnTraining] = None
        self._step_began: Optional[float] = None
        self.in_epoch = False
        self.training: Optional[Training] = None
        self.has_stopped_early: Callable[[], bool] = lambda: False
        """Whether a ``fit`` without a last hook has ended well."""

    def begins(self, epochs: Any = None, samples: Any = None) -> None:
        """The ``fit`` begins; ``epochs`` are planned, if known."""
        self.closes()
        worker, run = _runtime.running(), active_run()
        if isinstance(run, Training):
            self.training = run
        elif worker is not None:
            closes = WeakMethod(self.closes)  # a callback that is gone must not be kept alive by the worker
            self._own = OwnTraining(worker, lambda failed: (closes() or _nothing)())
            self.training = self._own.training
        if self.training is not None:
            samples = samples if self._samples is None else self._samples
            if samples is not None:
                self.training.samples(samples)
            if whole_number(epochs) is not None:
                self.training.plan(epochs)

    def epoch_begins(self, number: Any = None) -> None:
        """An epoch begins, with its number from 0; the last one is done, if it was still open."""
        if self.training is not None:
            self.epoch_ends()
            self.training.epoch_begins(number)
            self.in_epoch = True

    def epoch_ends(self, loss: Any = None, *, is_event: bool = True) -> None:
        """The epoch is done; ``loss`` is its loss, if known."""
        if self.training is not None:
            self.loss(loss)
            if self.in_epoch:
                self.in_epoch = False
                self.training.epoch_ends(is_event=is_event)

    def step_begins(self, done: Any = None, count: Any = None) -> None:
        """A step begins, after ``done`` of the epoch's ``count`` steps, if known."""
        worker = _runtime.running()
        if worker is not None:
            self._step_began = worker.clock.monotonic()
            self._report(done, count)

    def step_ends(self, done: Any = None, count: Any = None) -> None:
        """The step is done: the number ``done`` of the epoch's ``count`` steps, if known."""
        worker = _runtime.running()
        if self.training is None or worker is None:
            return
        if self._step_began is not None:
            self.training.step_took(worker.clock.monotonic() - self._step_began)
            self._step_began = None
        self._report(done, count)

    def _report(self, done: Any, count: Any) -> None:
        steps = whole_number(count)
        if steps and self.training is not None and self.training.planned is not None:
            self.training.within_epoch(done / steps)

    def loss(self, value: Any) -> None:
        """The latest loss; ``None`` if unknown."""
        if self.training is not None and value is not None:
            self.training.loss(value)

    def ends(self, output_model: Any = None) -> None:
        """The ``fit`` has ended well, with the model at this URL, if known."""
        self.epoch_ends()
        model = self._output_model or output_model
        if self.training is not None and model:
            self.training.output_model(model)
        self._leave(None)

    def fails(self, error: Optional[BaseException] = None) -> None:
        """The ``fit`` has raised."""
        self._leave(error or UnfinishedError("the fit did not come to its last callback"))

    def closes(self) -> None:
        """No further hook comes: a ``fit`` that is still open has failed, unless it stopped early."""
        if self._own is not None and self._own.is_open:
            self.ends() if self.has_stopped_early() else self.fails()

    def _leave(self, error: Optional[BaseException]) -> None:
        own, self._own, self.training, self.in_epoch = self._own, None, None, False
        if own is not None:
            own.end(error)

    def __del__(self) -> None:
        self.closes()


def _nothing() -> None:
    return None


def contained_hook(hook: Callable[..., None]) -> Callable[..., None]:
    """Failures of a hook do not reach the ``fit``; without a running worker it does nothing."""

    @wraps(hook)
    def wrapper(*arguments: Any, **keywords: Any) -> None:
        worker = _runtime.running()
        if worker is not None:
            with worker.guard:
                hook(*arguments, **keywords)

    return wrapper


def framework_class(name: str, *modules: str) -> Any:
    """Class ``name`` of the first of ``modules`` that the script has imported, else of the first that is installed.

    Raises:
        ImportError: none is installed.
    """
    for module in sorted(modules, key=lambda module: module.split(".")[0] not in sys.modules):
        try:
            return getattr(import_module(module), name)
        except ImportError:
            continue  # TensorFlow without its Keras, say: another one may be there
    raise ImportError(f"this callback needs one of {', '.join(modules)}, and none can be imported")


def callback_of(factory: Callable[..., Any], base: type, hooks: type, **arguments: Any) -> Any:
    """A callback of the framework's class ``base`` with our ``hooks``.

    Frameworks pickle and copy their callbacks; the copy is made anew by ``factory(**arguments)``, without the run.
    """

    def reduce(self: Any) -> Tuple[Any, ...]:
        return _rebuild, (factory, arguments)

    callback: Any = type("SednaCallback", (hooks, base), {"__reduce__": reduce})()
    callback.fit = Fit(arguments.get("samples"), arguments.get("output_model"))
    return callback


def _rebuild(factory: Callable[..., Any], arguments: Dict[str, Any]) -> Any:
    return factory(**arguments)


def samples_of(loader: Any) -> Optional[int]:
    """Number of samples of a PyTorch ``DataLoader``, if it can be determined."""
    return length(getattr(loader, "dataset", None))
