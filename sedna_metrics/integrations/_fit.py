"""What the callbacks of all frameworks share: one ``fit``, from its first hook to its last."""

from __future__ import annotations

import sys
from functools import wraps
from importlib import import_module
from typing import Any, Callable, Optional

from sedna_metrics import _runtime
from sedna_metrics.integrations._running import OwnTraining, UnfinishedError, active_runs
from sedna_metrics.tasks._context import length
from sedna_metrics.tasks._time_left import whole_number
from sedna_metrics.tasks._training import Training


class Fit:
    """Tells the training under way, or one of its own, how a ``fit`` gets on.

    Most frameworks do not say that a ``fit`` raised. A training of its own that is not ended has failed: when the
    next ``fit`` begins, when the callback is gone, or when the worker closes.

    Args:
        samples: how many samples are trained on, where the framework does not tell its callbacks.
        output_model: where the model is once the ``fit`` has ended well.
    """

    def __init__(self, samples: Any = None, output_model: Any = None) -> None:
        self._samples = samples
        self._output_model = output_model
        self._own: Optional[OwnTraining] = None
        self._step_began: Optional[float] = None
        self._in_epoch = False
        self._planned: Optional[int] = None
        self.training: Optional[Training] = None

    def begins(self, epochs: Any = None, samples: Any = None) -> None:
        """The ``fit`` begins; ``epochs`` are planned, if that is known."""
        self.fails()
        worker, run = _runtime.running(), active_runs()
        if isinstance(run, Training):
            self.training = run
        elif worker is not None:
            self._own = OwnTraining(worker)
            self.training = self._own.training
        self._planned = whole_number(epochs)
        if self.training is not None:
            samples = samples if self._samples is None else self._samples
            if samples is not None:
                self.training.samples(samples)
            if self._planned is not None:
                self.training.plan(self._planned)

    def epoch_begins(self, number: Any = None) -> None:
        """An epoch begins, by its number from 0; the last one is done, if nobody said so."""
        if self.training is not None:
            self.epoch_ends()
            self.training.epoch_begins(number)
            self._in_epoch = True

    def epoch_ends(self, loss: Any = None) -> None:
        """The epoch is done; ``loss`` is its loss, if that is known."""
        if self.training is not None:
            self.loss(loss)
            if self._in_epoch:
                self._in_epoch = False
                self.training.epoch_ends()

    def step_begins(self) -> None:
        """A step begins."""
        worker = _runtime.running()
        if worker is not None:
            self._step_began = worker.clock.monotonic()

    def step_ends(self, done: Any = None, of: Any = None) -> None:
        """The step that began last is done: ``done`` of the epoch's steps, if that is known."""
        worker = _runtime.running()
        if self.training is None or worker is None:
            return
        if self._step_began is not None:
            self.training.step_took(worker.clock.monotonic() - self._step_began)
            self._step_began = None
        count = whole_number(of)
        if count and self._planned is not None:
            self.training.within_epoch(done / count)

    def round_begins(self, number: int) -> None:
        """A round of boosting begins, by its number from 0: an epoch."""
        if self.training is not None:
            self.training.epoch_begins(number)

    def round_ends(self, loss: Any = None) -> None:
        """The round is done. It is a step as well, and no event: there may be hundreds in a second."""
        self.step_ends()
        self.loss(loss)
        if self.training is not None:
            self.training.epoch_ends(is_event=False)

    def loss(self, value: Any) -> None:
        """The latest loss; ``None`` is not known."""
        if self.training is not None and value is not None:
            self.training.loss(value)

    def ends(self, output_model: Any = None) -> None:
        """The ``fit`` ended well, and the model is there, if that is known."""
        self.epoch_ends()
        model = self._output_model or output_model
        if self.training is not None and model:
            self.training.output_model(model)
        self._leave(None)

    def fails(self, error: Optional[BaseException] = None) -> None:
        """The ``fit`` raised; without the error: it is over, and did not say that it ended well."""
        self._leave(error or UnfinishedError("the fit did not come to its last callback"))

    def _leave(self, error: Optional[BaseException]) -> None:
        own, self._own, self.training, self._in_epoch = self._own, None, None, False
        if own is not None:
            own.end(error)

    @property
    def is_open(self) -> bool:
        """Whether a training of its own has neither ended nor failed."""
        return self._own is not None and not self._own.has_ended

    def __del__(self) -> None:
        if self.is_open:
            self.fails()


def guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """Keep what goes wrong in a hook away from the ``fit``; without a running worker it does nothing."""

    @wraps(hook)
    def guarded_hook(*arguments: Any, **keywords: Any) -> None:
        worker = _runtime.running()
        if worker is not None:
            with worker.guard:
                hook(*arguments, **keywords)

    return guarded_hook


def framework_class(name: str, *modules: str) -> Any:
    """Class ``name`` of the framework that the script uses: of the first of ``modules`` that it has imported.

    Where it has imported none of them, the first that is installed.

    Raises:
        ImportError: none is installed.
    """
    for module in sorted(modules, key=lambda module: module.split(".")[0] not in sys.modules):
        try:
            return getattr(import_module(module), name)
        except ImportError:
            # TensorFlow without its Keras, say; another one may be there.
            continue
    raise ImportError(f"this callback needs one of {', '.join(modules)}, and none can be imported")


def callback_of(base: type, hooks: type, fit: Fit) -> Any:
    """A callback of the framework's class ``base``, whose ``hooks`` tell ``fit``."""
    callback: Any = type("SednaCallback", (hooks, base), {})()
    callback.fit = fit
    return callback


def samples_of(loader: Any) -> Optional[int]:
    """How many samples a PyTorch ``DataLoader`` goes over, where it can be told."""
    return length(getattr(loader, "dataset", None))
