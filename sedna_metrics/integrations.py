"""What only the user's training code can tell, without being handed a worker: progress, loss by epoch, time left.

Each function finds the running worker, and in it the training or evaluation under way: the one that
:func:`sedna_metrics.observe_sedna` saw begin, or that a ``with`` block of the script's began. Without a training under
way :func:`epochs`, :func:`track` and the Keras callback are one of their own, of the worker's kind of task; without a
running worker they do nothing. No framework is imported before it is asked for.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from importlib import import_module
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, TypeVar, Union

from sedna_metrics import _runtime
from sedna_metrics._worker import Worker
from sedna_metrics.tasks._context import length
from sedna_metrics.tasks._evaluation import Evaluation
from sedna_metrics.tasks._training import Training

T = TypeVar("T")

_TASKS = {
    "federatedlearningjob": "federated_learning",
    "lifelonglearningjob": "lifelong_learning",
}


def progress(done: Optional[float] = None, total: Optional[float] = None, *, loss: Any = None) -> None:
    """Say how far the training or evaluation under way is, and its latest loss; without one this does nothing.

    Args:
        done: units done so far, of your own choice.
        total: units in all; the time left comes from both.
        loss: the latest loss: a number, a numpy or tensor scalar, or a history, of which the last value counts.
    """
    run = _under_way()
    if run is None:
        return
    if loss is not None and isinstance(run, Training):
        run.loss(loss)
    if done is not None and total is not None:
        run.progress(done, total)


def epochs(planned: Union[int, Iterable[T]]) -> Iterator[Any]:
    """Go through the epochs of training: ``for epoch in sedna_metrics.epochs(10)``.

    Args:
        planned: how many epochs there are, and 0, 1, ... are given; or what to go through, such as ``range(5, 10)``.
    """
    items = range(planned) if isinstance(planned, int) else planned
    with ExitStack() as stack:
        training = _training(stack)
        if training is None:
            yield from items
            return
        count = length(items)
        if count is not None:
            training.plan(count)
        for number, item in enumerate(items):
            with training.epoch(number):
                yield item


def track(batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
    """Go through the batches of an epoch, or of an evaluation: ``for batch in sedna_metrics.track(loader)``.

    Each step is timed. Within :func:`epochs` a step is part of its epoch; without it, one pass is all there is, and the
    time left is that of the pass.

    Args:
        batches: what the loop goes over, a PyTorch ``DataLoader`` for one.
        total: how many there are, where ``len(batches)`` does not tell.
    """
    run = _under_way()
    if isinstance(run, Evaluation):
        yield from run.track(batches, total)
        return
    with ExitStack() as stack:
        training = _training(stack)
        if training is None:
            yield from batches
            return
        if training.planned is not None:
            yield from training.steps(batches, total)
            return
        count = length(batches) if total is None else total
        for number, batch in enumerate(batches):
            with training.step():
                yield batch
            if count:
                training.progress(number + 1, count)


def keras_callback() -> Any:
    """A Keras callback: ``model.fit(..., callbacks=[sedna_metrics.keras_callback()])``.

    It tells epoch, steps, time left and loss of a ``fit``, and the progress of an ``evaluate``. It is a ``Callback`` of
    the Keras that the script uses: ``keras`` where that is imported, else TensorFlow's.

    Raises:
        ImportError: there is no Keras.
    """
    return type("SednaCallback", (_KerasHooks, _keras_callback_class()), {})()


class _KerasHooks:
    """The methods of ``keras.callbacks.Callback`` that tell something."""

    params: Optional[Mapping[str, Any]] = None

    def on_train_begin(self, logs: Optional[Dict[str, Any]] = None) -> None:
        self._stack = ExitStack()
        self._training = _training(self._stack)
        self._epoch = self._planned = 0
        planned = (self.params or {}).get("epochs")
        if self._training is not None and planned:
            self._training.plan(planned)
            self._planned = planned

    def on_train_end(self, logs: Optional[Dict[str, Any]] = None) -> None:
        # A fit that raises never comes here: its training, where it was one of our own, stays under way.
        self._stack.close()
        self._training = None

    def on_epoch_begin(self, epoch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        self._epoch = epoch
        self._block = ExitStack()
        if self._training is not None:
            self._block.enter_context(self._training.epoch(epoch))

    def on_epoch_end(self, epoch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        if self._training is not None and logs and "loss" in logs:
            self._training.loss(logs["loss"])
        self._block.close()

    def on_train_batch_begin(self, batch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        self._step = ExitStack()
        if self._training is not None:
            self._step.enter_context(self._training.step())

    def on_train_batch_end(self, batch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        self._step.close()
        steps = (self.params or {}).get("steps")
        if self._training is not None and steps and self._planned:
            self._training.progress(self._epoch + min(1.0, (batch + 1) / steps), self._planned)

    def on_test_batch_end(self, batch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        steps, run = (self.params or {}).get("steps"), _under_way()
        # A validation within fit tells nothing of an evaluation: params are those of the fit then.
        if isinstance(run, Evaluation) and steps:
            run.progress(batch + 1, steps)


def _keras_callback_class() -> Any:
    for name in ("keras", "tensorflow.keras", "tf_keras"):
        if name.split(".")[0] in sys.modules:
            try:
                return import_module(f"{name}.callbacks").Callback
            except ImportError:
                # TensorFlow without its Keras, say; another one may be there.
                continue
    return import_module("keras.callbacks").Callback


def _under_way() -> Any:
    worker = _runtime.running()
    return worker.under_way[-1] if worker is not None and worker.under_way else None


def _training(stack: ExitStack) -> Optional[Training]:
    """The training under way, or one of the running worker's kind of task that ``stack`` ends."""
    run = _under_way()
    if isinstance(run, Training):
        return run
    worker = _runtime.running()
    return stack.enter_context(_task(worker).training()) if worker is not None else None


def _task(worker: Worker) -> Any:
    return getattr(worker, _TASKS.get(worker.identity.kind, "incremental_learning"))
