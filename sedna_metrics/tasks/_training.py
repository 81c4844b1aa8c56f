"""Training, as every task kind that trains has it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, Optional, TypeVar

from sedna_metrics._noop import Noop
from sedna_metrics._progress import Progress
from sedna_metrics._urls import strip_secrets
from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.metrics import CallHistogram, Gauge, Info
from sedna_metrics.tasks._context import TaskContext, reason
from sedna_metrics.tasks._loops import Epochs, Steps
from sedna_metrics.tasks._time_left import TimeLeft, whole_number

T = TypeVar("T")


class TrainingSeries:
    """The series of training, made once for each task."""

    def __init__(self, context: TaskContext) -> None:
        instruments = context.instruments
        self.samples: Gauge = instruments.gauge(metrics.TRAINING_SAMPLES)
        nonfinite = instruments.counter(metrics.NONFINITE_LOSSES).inc
        self.loss: Gauge = instruments.gauge(metrics.TRAINING_LOSS, nonfinite)
        self.remaining: Gauge = instruments.gauge(metrics.TRAINING_REMAINING)
        self.completion: Gauge = instruments.gauge(metrics.TRAINING_COMPLETION)
        self.epoch: Gauge = instruments.gauge(metrics.TRAINING_EPOCH)
        self.epochs: Gauge = instruments.gauge(metrics.TRAINING_EPOCHS)
        self.step_durations: CallHistogram = instruments.call_histogram(metrics.STEP_DURATION)
        self.step = Observation(self.step_durations, lambda error: None, context.clock.monotonic, context.boundary)
        self.output_model: Info = instruments.info(metrics.TRAINING_OUTPUT_MODEL)


class Training:
    """One run of training: what ``with task.training(...) as training`` gives.

    Attributes:
        loss: ``loss(value)`` records a loss (TrainLoss): a number, a numpy or tensor scalar, or a history, of which the
            last value counts. NaN and infinities are kept, and counted.
        step: ``with training.step():`` times one step, for loops of your own; a decorator as well. A step that raises
            is not timed.
        boundary: the worker's failure boundary.
    """

    loss: Callable[[Any], None]
    step: Observation
    _done: int  # epochs
    _index: int  # of the epoch under way, from 0

    def __init__(self, context: TaskContext, series: TrainingSeries, samples: Any, epochs: Any) -> None:
        self.boundary = context.boundary
        self._context = context
        self._series = series
        self._emit = context.emit
        self._clock = context.clock
        self._began = context.clock.monotonic()
        self._time_left = TimeLeft(context, metrics.TRAINING_REMAINING, series.remaining, series.completion)
        self._url = ""
        self.loss = series.loss.set
        self.step = series.step
        self._count_epochs(None)
        for gauge in (series.epoch, series.epochs, series.samples, series.loss):
            gauge.clear()  # what the last run said no longer holds
        if samples is not None:
            series.samples.set(samples)
        if epochs is not None:
            self._plan(epochs)

    def samples(self, count: int) -> None:
        """Say how many samples are trained on (TrainSampleNum), where that was not known at the start."""
        with self.boundary:
            self._series.samples.set(count)

    @property
    def planned(self) -> Optional[int]:
        """Epochs planned, where that is known."""
        return self._planned

    def plan(self, epochs: int) -> None:
        """Say how many epochs are planned, where that was not known at the start; they are counted from here."""
        with self.boundary:
            self._plan(epochs)

    def _plan(self, epochs: Any) -> None:
        count = whole_number(epochs)
        self._series.epochs.set(epochs if count is None else count)
        if count is not None:
            self._count_epochs(count)

    def epochs(self) -> Iterator[int]:
        """Count through the planned epochs, from 0, as ``range(epochs)`` does; progress and time left come from here.

        Raises:
            ValueError: no number of epochs was planned (``training(epochs=...)``).
        """
        if self._planned is None:
            raise ValueError("training.epochs() needs to know how many: say training(epochs=10)")
        numbers = range(self._planned)
        with self.boundary:
            return Epochs(self, numbers)
        return iter(numbers)

    @contextmanager
    def epoch(self, number: Optional[int] = None) -> Iterator[int]:
        """One epoch, for loops of your own; one that raises, or is left by ``break``, is not done.

        Args:
            number: the epoch's number, from 0; the one after the last where it is not given, or no number.
        """
        index = self._done if number is None else number
        with self.boundary:
            index = self.epoch_begins(number)
        yield index
        with self.boundary:
            self.epoch_ends()

    def epoch_begins(self, number: Optional[int] = None) -> int:
        """An epoch begins, where no block fits around it: in a callback. Gives its number, as for :meth:`epoch`."""
        with self.boundary:
            given = whole_number(number)
            self._index = self._done if given is None else given
            if self._index != self._done:  # goes on from a checkpoint: what was skipped took no time
                self._in_epochs = Progress(self._clock, self._planned, self._index)
            self._series.epoch.set(self._index + 1)
            self._emit.bind(epoch=self._index + 1)
        return self._index

    def epoch_ends(self, *, is_event: bool = True) -> None:
        """The epoch that :meth:`epoch_begins` began is done, which is an event unless ``is_event`` says otherwise."""
        with self.boundary:
            self._index = self._done = self._index + 1
            self.within_epoch(0.0)
            if is_event:
                self._emit(
                    "training.epoch",
                    epoch=self._done,
                    epochs=self._planned,
                    loss=self._series.loss.value(),
                    remaining_seconds=self._time_left.seconds(),
                )

    def within_epoch(self, part: float) -> None:
        """Say how far the epoch under way is: a number from 0 to 1."""
        with self.boundary:
            self._within_epoch(part, 1)

    def steps(self, batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Go through the batches of an epoch; each step is timed and moves the progress on.

        A step is done when the next batch is asked for: one that is left by ``break`` or raises is not timed.

        Args:
            batches: what the loop goes over.
            total: how many batches there are, where ``len(batches)`` does not tell.
        """
        items = iter(batches)  # what cannot be gone through is the script's error
        with self.boundary:
            return self._steps(items, self._time_left.count(batches, total), self._within_epoch)
        return items

    def track(self, batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Go through the batches as :meth:`steps` does; where no epochs are planned, this one pass is all of training.

        ``for batch in training.track(loader)`` tells the time left in either case.
        """
        items = iter(batches)
        with self.boundary:
            advance = self.progress if self._planned is None else self._within_epoch
            return self._steps(items, self._time_left.count(batches, total), advance)
        return items

    def step_took(self, seconds: float) -> None:
        """Say how long a step took, where neither a block nor a loop fits around it: in a callback."""
        with self.boundary:
            self._series.step_durations.observe(seconds)

    def progress(self, done: float, total: float) -> None:
        """Say how far training is in units of your own, for loops that know neither epochs nor steps.

        From then on the time left comes from these alone, until epochs are planned: the two are not mixed.
        """
        with self.boundary:
            self._time_left.tell(self._in_own_units, done, total)

    def output_model(self, url: object) -> None:
        """Say where the trained model is (TrainOutputModelUrl); credentials and query do not become a label."""
        with self.boundary:
            self._url = strip_secrets(url)
            self._series.output_model.set({"url": self._url})

    def _within_epoch(self, done: float, total: float) -> None:
        if self._in_own_units.total is None:
            self._time_left.tell(self._in_epochs, self._index + min(1.0, done / total))

    def _count_epochs(self, planned: Optional[int]) -> None:
        self._planned = planned
        self._index = self._done = 0
        self._in_epochs = Progress(self._clock, planned)
        self._in_own_units = Progress(self._clock, None)

    def _steps(self, items: Iterator[T], count: Optional[int], advance: Callable[[float, float], None]) -> Iterator[T]:
        def on_step(done: int, seconds: float) -> None:
            self._series.step_durations.observe(seconds)
            if count:
                advance(done, count)

        return Steps(items, self._clock.monotonic, on_step, self.boundary)

    def _ended(self, error: Optional[BaseException]) -> None:
        fields = {
            "samples": self._series.samples.value(),
            "epochs": self._done,
            "loss": self._series.loss.value(),
            "duration_seconds": self._clock.monotonic() - self._began,
        }
        if error is None:
            self._time_left.nothing()
            self._emit("training.completed", **fields, model_url=self._url or None)
        else:
            self._time_left.unknown()
            self._emit("training.failed", **fields, error=type(error).__name__, reason=reason(error))
        self._emit.bind(epoch=None)


@contextmanager
def training_run(
    context: TaskContext, series: Callable[[], TrainingSeries], samples: Optional[int], epochs: Optional[int]
) -> Iterator[Training]:
    """One run of training, with its events; what stage or status it means is the caller's to set."""
    training: Any = None
    with context.boundary:
        training = Training(context, series(), samples, epochs)
        context.emit("training.started", samples=series().samples.value(), epochs=series().epochs.value())
    if training is None:
        training = Noop(epochs)
    context.active_runs.append(training)
    try:
        yield training
    except BaseException as error:
        with context.boundary:
            training._ended(error)
        raise
    finally:
        context.active_runs.remove(training)
    with context.boundary:
        training._ended(None)
        context.on_success()
