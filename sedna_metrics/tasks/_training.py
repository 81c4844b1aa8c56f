"""Training, as every kind of task that trains has it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, Optional, TypeVar

from sedna_metrics._boundary import contained
from sedna_metrics._urls import strip_secrets
from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.errors import describe
from sedna_metrics.tasks._context import TaskContext
from sedna_metrics.tasks._runs import Run
from sedna_metrics.tasks._time_left import TimeLeft, checked_number, whole_number

T = TypeVar("T")


class Training(Run):
    """One run of training: ``with task.training(...) as training``.

    Attributes:
        loss: ``loss(value)`` records a loss (TrainLoss): a number, a numpy or tensor scalar, or a history, of which the
            last value counts. NaN and infinite losses are kept, and counted.
        step: ``with training.step():`` times one step of a loop of your own; a decorator, too. A step that raises is
            not timed.
        planned: number of epochs planned, or ``None``.
    """

    def __init__(
        self,
        context: TaskContext,
        set_status: Callable[[str], Any],
        samples: Any = None,
        epochs: Any = None,
        on_samples: Callable[[Any], Any] = lambda count: None,
    ) -> None:
        super().__init__(context, set_status)
        instruments = context.instruments
        self._loss = instruments.gauge(metrics.TRAINING_LOSS, instruments.counter(metrics.NONFINITE_LOSSES).inc)
        self._samples = instruments.gauge(metrics.TRAINING_SAMPLES)
        self._on_samples = on_samples
        self._epoch = instruments.gauge(metrics.TRAINING_EPOCH)
        self._epochs = instruments.gauge(metrics.TRAINING_EPOCHS)
        self._step_durations = instruments.call_histogram(metrics.STEP_DURATION)
        self._output_model = instruments.info(metrics.TRAINING_OUTPUT_MODEL)
        self._time_left = TimeLeft(context, metrics.TRAINING_REMAINING, metrics.TRAINING_COMPLETION)
        self._url: Optional[str] = None
        self.planned: Optional[int] = None
        self._index = self._done = 0  # the current epoch, from 0, and how many are done
        self._is_measuring = False  # within the epoch
        self._loop: Optional[object] = None  # the loop that reports progress
        self.loss = self._loss.set
        self.step = Observation(self._step_durations, lambda error: None, context.clock.monotonic, context.boundary)
        for gauge in (self._epoch, self._epochs, self._samples, self._loss):
            gauge.clear()  # the values of the last run
        if samples is not None:
            self.samples(samples)
        if epochs is not None:
            self.plan(epochs)

    @contained()
    def samples(self, count: int) -> None:
        """Set the number of training samples (TrainSampleNum), if it was not known at the start."""
        self._samples.set(count)
        valid = self._samples.value()
        if valid is not None:
            self._on_samples(valid)

    @contained()
    def plan(self, epochs: int) -> None:
        """Set the number of epochs, if it was not known at the start; they are counted from here."""
        count = whole_number(epochs)
        if count is not None:
            self.planned = self._time_left.total = count
            self._time_left.begin(0.0)
            self._index = self._done = 0
            self._time_left.has_own_units = self._is_measuring = False
        self._epochs.set(epochs if count is None else count)

    def epochs(self) -> Iterator[int]:
        """Count through the planned epochs from 0, as ``range(epochs)`` does, and record progress and time left.

        An epoch is done when the loop asks for the next; one that is left by ``break`` is not.

        Raises:
            ValueError: no number of epochs was planned.
        """
        if self.planned is None:
            raise ValueError("training.epochs() needs the number of epochs: training(epochs=10)")
        return self.through_epochs(range(self.planned))

    def through_epochs(self, items: Iterable[T]) -> Iterator[T]:
        """Iterate over ``items``, each of which is an epoch."""
        for number, item in enumerate(items):
            self.epoch_begins(number)
            yield item
            self.epoch_ends()

    @contextmanager
    def epoch(self, number: Optional[int] = None) -> Iterator[int]:
        """A block around one epoch, for loops of your own; one that raises is not done.

        Its ``number``, from 0, is by default the one after the last.
        """
        yield self.epoch_begins(number)
        self.epoch_ends()

    @contained(lambda number=None: number or 0)
    def epoch_begins(self, number: Optional[int] = None) -> int:
        """An epoch begins, for callbacks; returns its number, as for :meth:`epoch`."""
        given = checked_number(number, metrics.TRAINING_EPOCH.name, self._boundary)
        self._index = self._done if given is None else given
        if (self._index != self._done or self._epoch.value() is None) and not self._time_left.has_own_units:
            self._time_left.begin(self._index)  # skipped epochs took no time, nor did what came before the first
        self._loop = None
        self._epoch.set(self._index + 1)
        self._context.emit.bind(epoch=self._index + 1)
        return self._index

    @contained()
    def epoch_ends(self, *, is_event: bool = True) -> None:
        """The epoch that has begun is done; writes the event ``training.epoch`` unless ``is_event`` is False."""
        self._index = self._done = self._index + 1
        self._loop = None
        if not self._time_left.has_own_units:
            self._time_left.update(self._index)
        if is_event:
            self._context.emit(
                "training.epoch",
                epoch=self._done,
                epochs=self.planned,
                loss=self._loss.value(),
                remaining_seconds=self._time_left.remaining.value(),
            )

    @contained()
    def within_epoch(self, part: float) -> None:
        """Set how much of the current epoch is done, from 0 to 1, for callbacks.

        The first value of a run is where the measurement begins, so that a run that resumes within an epoch has the
        right time left. A lower value than before in the same epoch, as of a validation pass, is ignored.
        """
        amount = self._time_left.amount(part)
        if amount is None or self._time_left.has_own_units:
            return
        done = self._index + min(1.0, amount)
        if not self._is_measuring:
            self._is_measuring = True
            self._time_left.begin(done)
        elif done > self._time_left.done:
            self._time_left.update(done)

    def steps(self, batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Iterate over the batches of an epoch; each step is timed and moves the progress on.

        A step is done when the loop asks for the next batch. A loop within another one of the same training, such as a
        validation pass, is neither timed nor counted. ``total`` is the number of batches, if they have no length.
        """
        return self._steps(iter(batches), self._time_left.count(batches, total), is_epoch=True)

    def track(self, batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Iterate over the batches as :meth:`steps` does; if no epochs are planned, this pass is the whole training."""
        count = self._time_left.count(batches, total)
        return self._steps(iter(batches), count, is_epoch=self.planned is not None)

    def _steps(self, batches: Iterator[T], count: Optional[int], is_epoch: bool) -> Iterator[T]:
        loop, reports = object(), False
        with self._boundary:
            reports = self._begin_loop(loop, is_epoch)
        try:
            for done, batch in enumerate(batches, 1):
                began = self._context.clock.monotonic()
                yield batch
                if reports:
                    with self._boundary:
                        self._step_done(done, count, is_epoch, began)
        finally:
            if self._loop is loop:
                self._loop = None

    def _begin_loop(self, loop: object, is_epoch: bool) -> bool:
        """Whether this loop reports: it is not within another one."""
        if self._loop is not None:
            return False
        self._loop = loop
        if is_epoch:
            self.within_epoch(0.0)
        else:
            self._time_left.begin_own_units()
        return True

    def _step_done(self, done: int, count: Optional[int], is_epoch: bool, began: float) -> None:
        self._step_durations.observe(max(0.0, self._context.clock.monotonic() - began))
        if count and is_epoch:
            self.within_epoch(done / count)
        elif count:
            self.progress(done, count)

    @contained()
    def step_took(self, seconds: float) -> None:
        """Record the duration of a step in seconds, for callbacks."""
        self._step_durations.observe(seconds)

    @contained()
    def progress(self, done: float, total: float) -> None:
        """Set how much is done, in units of your own.

        From then on the time left comes from these alone, until epochs are planned. The first call is where the
        measurement begins.
        """
        self._time_left.progress(done, total)

    @contained()
    def output_model(self, url: object) -> None:
        """Set the URL of the trained model (TrainOutputModelUrl); credentials and query are removed."""
        self._url = strip_secrets(url)
        self._output_model.set({"url": self._url})

    def _on_begin(self) -> None:
        self._context.emit("training.started", samples=self._samples.value(), epochs=self._epochs.value())

    def _on_end(self, error: Optional[BaseException]) -> None:
        fields = {
            "samples": self._samples.value(),
            "epochs": None if self._epoch.value() is None else self._done,
            "loss": self._loss.value(),
            "duration_seconds": self._seconds(),
        }
        if error is None:
            self._time_left.finish()
            self._context.emit("training.completed", **fields, model_url=self._url)
        else:
            self._time_left.clear()
            self._context.emit("training.failed", **fields, error=type(error).__name__, reason=describe(error))
        self._context.emit.bind(epoch=None)
