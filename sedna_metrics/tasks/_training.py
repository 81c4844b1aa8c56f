"""Training, as every kind of task that trains has it."""

from __future__ import annotations

import weakref
from typing import Any, Callable, Iterable, Iterator, Optional, TypeVar

from sedna_metrics._boundary import contained
from sedna_metrics._progress import Progress
from sedna_metrics._urls import strip_secrets
from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import TaskContext, reason
from sedna_metrics.tasks._runs import Run
from sedna_metrics.tasks._time_left import TimeLeft, whole_number

T = TypeVar("T")


class TrainingSeries:
    """The series of training, made once for each task."""

    def __init__(self, context: TaskContext) -> None:
        instruments = context.instruments
        self.samples = instruments.gauge(metrics.TRAINING_SAMPLES)
        nonfinite = instruments.counter(metrics.NONFINITE_LOSSES).inc
        self.loss = instruments.gauge(metrics.TRAINING_LOSS, nonfinite)
        self.remaining = instruments.gauge(metrics.TRAINING_REMAINING)
        self.completion = instruments.gauge(metrics.TRAINING_COMPLETION)
        self.epoch = instruments.gauge(metrics.TRAINING_EPOCH)
        self.epochs = instruments.gauge(metrics.TRAINING_EPOCHS)
        self.step_durations = instruments.call_histogram(metrics.STEP_DURATION)
        self.step = Observation(self.step_durations, lambda error: None, context.clock.monotonic, context.boundary)
        self.output_model = instruments.info(metrics.TRAINING_OUTPUT_MODEL)


class Training(Run):
    """One run of training: ``with task.training(...) as training``.

    Attributes:
        loss: ``loss(value)`` records a loss (TrainLoss): a number, a numpy or tensor scalar, or a history, of which the
            last value counts. NaN and infinite losses are kept, and counted.
        step: ``with training.step():`` times one step of a loop of your own; a decorator, too. A step that raises is
            not timed.
    """

    loss: Callable[[Any], None]
    step: Observation

    def __init__(
        self,
        context: TaskContext,
        series: TrainingSeries,
        set_status: Callable[[str], Any],
        samples: Any = None,
        epochs: Any = None,
    ) -> None:
        super().__init__(context, set_status)
        self._series = series
        self._time_left = TimeLeft(context, metrics.TRAINING_REMAINING, series.remaining, series.completion)
        self._url: Optional[str] = None
        self._has_epochs = False
        self._planned: Optional[int] = None
        self._index = self._done = 0  # the current epoch, from 0, and how many are done
        self._progress = Progress(context.clock, None)
        self._own_units: Optional[Progress] = None
        self._is_measuring = False
        self._outer: Callable[[], Any] = lambda: None  # the loop that reports progress
        self.loss = series.loss.set
        self.step = series.step
        for gauge in (series.epoch, series.epochs, series.samples, series.loss):
            gauge.clear()  # the values of the last run
        if samples is not None:
            series.samples.set(samples)
        if epochs is not None:
            self.plan(epochs)

    @property
    def planned(self) -> Optional[int]:
        """Number of epochs planned, if known."""
        return self._planned

    @contained()
    def samples(self, count: int) -> None:
        """Set the number of training samples (TrainSampleNum), if it was not known at the start."""
        self._series.samples.set(count)

    @contained()
    def plan(self, epochs: int) -> None:
        """Set the number of epochs, if it was not known at the start; they are counted from here."""
        count = whole_number(epochs)
        if count is not None:
            self._planned = count
            self._count_epochs()
        self._series.epochs.set(epochs if count is None else count)

    def epochs(self) -> Iterator[int]:
        """Count through the planned epochs from 0, as ``range(epochs)`` does, and record progress and time left.

        An epoch is done when the loop asks for the next; one that is left by ``break`` is not.

        Raises:
            ValueError: no number of epochs was planned.
        """
        if self._planned is None:
            raise ValueError("training.epochs() needs the number of epochs: training(epochs=10)")
        return self.through_epochs(range(self._planned))

    def through_epochs(self, items: Iterable[T]) -> Iterator[T]:
        """Iterate over ``items``, each of which is an epoch."""
        for number, item in enumerate(items):
            self.epoch_begins(number)
            yield item
            self.epoch_ends()

    def epoch(self, number: Optional[int] = None) -> Epoch:
        """A block around one epoch, for loops of your own; one that raises is not done.

        Args:
            number: of the epoch, from 0; by default the one after the last.
        """
        return Epoch(self, number)

    @contained(lambda number=None: number or 0)
    def epoch_begins(self, number: Optional[int] = None) -> int:
        """An epoch begins, for callbacks; returns its number, as for :meth:`epoch`."""
        given = whole_number(number)
        self._index = self._done if given is None else given
        if self._index != self._done:
            self._progress.begin(self._index)  # resumed from a checkpoint: skipped epochs took no time
        self._has_epochs = True
        self._outer = lambda: None
        self._series.epoch.set(self._index + 1)
        self._context.emit.bind(epoch=self._index + 1)
        return self._index

    @contained()
    def epoch_ends(self, *, is_event: bool = True) -> None:
        """The epoch that has begun is done; writes the event ``training.epoch`` unless ``is_event`` is False."""
        self._index = self._done = self._index + 1
        self._outer = lambda: None
        if self._own_units is None:
            self._time_left.update(self._progress, self._index)
        if is_event:
            self._context.emit(
                "training.epoch",
                epoch=self._done,
                epochs=self._planned,
                loss=self._series.loss.value(),
                remaining_seconds=self._time_left.seconds(),
            )

    @contained()
    def within_epoch(self, part: float) -> None:
        """Set how much of the current epoch is done, from 0 to 1, for callbacks.

        The first value of a run is where the measurement begins, so that a run that resumes within an epoch has the
        right time left. A lower value than before in the same epoch, as of a validation pass, is ignored.
        """
        if self._own_units is not None:
            return
        done = self._index + min(1.0, part)
        if not self._is_measuring:
            self._is_measuring = True
            self._progress.begin(done)
        elif done > self._progress.done:
            self._time_left.update(self._progress, done)

    def steps(self, batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Iterate over the batches of an epoch; each step is timed and moves the progress on.

        A step is done when the loop asks for the next batch. A loop within another one of the same training, such as a
        validation pass, is neither timed nor counted.

        Args:
            batches: what the loop iterates over.
            total: number of batches, if ``len(batches)`` does not give it.

        Raises:
            TypeError: ``batches`` is not iterable.
        """
        return self._steps(batches, total, is_epoch=True)

    def track(self, batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Iterate over the batches as :meth:`steps` does; if no epochs are planned, this pass is the whole training."""
        return self._steps(batches, total, is_epoch=self._planned is not None)

    def _steps(self, batches: Iterable[T], total: Optional[int], is_epoch: bool) -> Iterator[T]:
        return Steps(self, batches, self._count(batches, total), is_epoch)

    @contained()
    def _count(self, batches: Any, total: Optional[int]) -> Optional[int]:
        return self._time_left.count(batches, total)

    @contained()
    def step_took(self, seconds: float) -> None:
        """Record the duration of a step in seconds, for callbacks."""
        self._series.step_durations.observe(seconds)

    @contained()
    def progress(self, done: float, total: float) -> None:
        """Set how much is done, in units of your own.

        From then on the time left comes from these alone, until epochs are planned. The first call is where the
        measurement begins.
        """
        if self._own_units is None:
            self._own_units = Progress(self._context.clock, None)
            self._time_left.update(self._own_units, done, total)
            self._own_units.begin(self._own_units.done)
            self._time_left.clear()
        else:
            self._time_left.update(self._own_units, done, total)

    @contained()
    def output_model(self, url: object) -> None:
        """Set the URL of the trained model (TrainOutputModelUrl); credentials and query are removed."""
        self._url = strip_secrets(url)
        self._series.output_model.set({"url": self._url})

    def _count_epochs(self) -> None:
        self._index = self._done = 0
        self._progress = Progress(self._context.clock, self._planned)
        self._own_units = None
        self._is_measuring = False

    def _begin_loop(self, loop: Steps[Any]) -> bool:
        """Whether this loop reports: it is not within another one."""
        if self._outer() is not None:
            return False
        self._outer = weakref.ref(loop)
        if not loop.is_epoch:
            self._own_units = Progress(self._context.clock, None)
        self._is_measuring = True  # from the loop's start
        return True

    def _step_done(self, loop: Steps[Any], done: int, seconds: float) -> None:
        self._series.step_durations.observe(max(0.0, seconds))
        if loop.count and loop.is_epoch:
            self.within_epoch(done / loop.count)
        elif loop.count:
            self.progress(done, loop.count)

    def _on_begin(self) -> None:
        self._context.emit("training.started", samples=self._series.samples.value(), epochs=self._series.epochs.value())

    def _on_end(self, error: Optional[BaseException]) -> None:
        fields = {
            "samples": self._series.samples.value(),
            "epochs": self._done if self._has_epochs else None,
            "loss": self._series.loss.value(),
            "duration_seconds": self._seconds(),
        }
        if error is None:
            self._time_left.finish()
            self._context.emit("training.completed", **fields, model_url=self._url)
        else:
            self._time_left.clear()
            self._context.emit("training.failed", **fields, error=type(error).__name__, reason=reason(error))
        self._context.emit.bind(epoch=None)


class Epoch:
    """A block around one epoch."""

    def __init__(self, training: Training, number: Optional[int]) -> None:
        self._training = training
        self._number = number

    def __enter__(self) -> int:
        number: int = self._training.epoch_begins(self._number)
        return number

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        if error is None:
            self._training.epoch_ends()


class Steps(Iterator[T]):
    """Iterates over batches, each of which is a step of a training."""

    def __init__(self, training: Training, batches: Iterable[T], count: Optional[int], is_epoch: bool) -> None:
        self._training = training
        self._boundary = training._boundary
        self._clock = training._context.clock.monotonic
        self._batches = iter(batches)
        self.count = count
        self.is_epoch = is_epoch
        self._reports = False
        self._done = -1
        self._began = 0.0

    def __next__(self) -> T:
        self._step_done()
        batch = next(self._batches)
        self._began = self._clock()
        return batch

    @contained()
    def _step_done(self) -> None:
        if self._done < 0:
            self._reports = self._training._begin_loop(self)
        elif self._reports:
            self._training._step_done(self, self._done + 1, self._clock() - self._began)
        self._done += 1
