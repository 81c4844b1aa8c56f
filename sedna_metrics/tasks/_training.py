"""Training, as every task kind that trains has it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, Optional, TypeVar

from sedna_metrics._progress import Progress
from sedna_metrics._urls import strip_secrets
from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.instruments import Gauge, Info
from sedna_metrics.tasks._context import TaskContext, length, reason

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
        self.step = Observation(instruments.latency(metrics.STEP_DURATION), lambda error: None)
        self.output_model: Info = instruments.info(metrics.TRAINING_OUTPUT_MODEL)


class Training:
    """One run of training: what ``with task.training(...) as training`` gives.

    Attributes:
        loss: ``loss(value)`` records a loss (TrainLoss): a number, a numpy or tensor scalar, or a history, of which the
            last value counts. NaN and infinities are kept, and counted.
        step: ``with training.step():`` times one step, for loops of your own; a decorator as well. A step that raises
            is not timed.
    """

    loss: Callable[[Any], None]
    step: Observation

    def __init__(
        self, context: TaskContext, series: TrainingSeries, samples: Optional[int], epochs: Optional[int]
    ) -> None:
        self._context = context
        self._series = series
        self._emit = context.emit
        self._planned = epochs
        self._began = context.clock.monotonic()
        self._progress = Progress(context.clock, epochs if _is_count(epochs) else None)
        self._epoch = 0
        self._url = ""
        self.loss = series.loss.set
        self.step = series.step
        for gauge in (series.remaining, series.completion, series.epoch, series.epochs, series.samples, series.loss):
            gauge.clear()  # what the last run said no longer holds
        if samples is not None:
            series.samples.set(samples)
        if epochs is not None:
            series.epochs.set(epochs)

    def samples(self, count: int) -> None:
        """Say how many samples are trained on (TrainSampleNum), where that was not known at the start."""
        self._series.samples.set(count)

    @property
    def planned(self) -> Optional[int]:
        """Epochs planned, where that is known."""
        return self._planned

    def plan(self, epochs: int) -> None:
        """Say how many epochs are planned, where that was not known at the start."""
        with self._context.guard:
            self._series.epochs.set(epochs)
            if _is_count(epochs):
                self._planned = epochs
                self._epoch = 0
                self._progress.update(0, epochs)

    def epochs(self) -> Iterator[int]:
        """Count through the planned epochs, from 0, as ``range(epochs)`` does; progress and time left come from here.

        Raises:
            ValueError: no number of epochs was planned (``training(epochs=...)``).
        """
        if not _is_count(self._planned):
            raise ValueError("training.epochs() needs to know how many: say training(epochs=10)")
        assert self._planned is not None
        for epoch in range(self._planned):
            with self.epoch(epoch):
                yield epoch

    @contextmanager
    def epoch(self, number: Optional[int] = None) -> Iterator[int]:
        """One epoch, for loops of your own.

        Args:
            number: the epoch's number, from 0; the one after the last where it is not given, or no number.
        """
        index = number if isinstance(number, int) and number >= 0 else self._epoch
        self._series.epoch.set(index + 1)
        self._emit.bind(epoch=index + 1)
        yield index
        # Reached only if the body ended well: an epoch that raised, or was left by "break", is not done.
        with self._context.guard:
            self._epoch = index + 1
            self._advance(float(self._epoch), None)
            self._emit(
                "training.epoch",
                epoch=self._epoch,
                epochs=self._planned,
                loss=self._series.loss.value(),
                remaining_seconds=self._series.remaining.value(),
            )

    def steps(self, batches: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Go through the batches of an epoch; each step is timed and moves the progress on.

        Args:
            batches: what the loop goes over.
            total: how many batches there are, where ``len(batches)`` does not tell.
        """
        if total is None:
            total = length(batches)
        for index, batch in enumerate(batches):
            with self.step():
                yield batch
            if total:
                with self._context.guard:
                    self._advance(self._epoch + min(1.0, (index + 1) / total), None)

    def progress(self, done: float, total: float) -> None:
        """Say how far training is in units of your own, for loops that know neither epochs nor steps."""
        with self._context.guard:
            self._advance(done, total)

    def output_model(self, url: object) -> None:
        """Say where the trained model is (TrainOutputModelUrl); credentials and query do not become a label."""
        with self._context.guard:
            self._url = strip_secrets(url)
            self._series.output_model.set({"url": self._url})

    def _advance(self, done: float, total: Optional[float]) -> None:
        self._progress.update(done, total)
        remaining, completion = self._progress.remaining_seconds(), self._progress.estimated_completion()
        if remaining is not None and completion is not None:
            self._series.remaining.set(remaining)
            self._series.completion.set(completion)

    def _ended(self, error: Optional[BaseException]) -> None:
        fields = {
            "samples": self._series.samples.value(),
            "epochs": self._epoch,
            "loss": self._series.loss.value(),
            "duration_seconds": self._context.clock.monotonic() - self._began,
        }
        if error is None:
            self._series.remaining.set(0.0)
            self._series.completion.set(self._context.clock.time())
            self._emit("training.completed", **fields, model_url=self._url or None)
        else:
            self._series.remaining.clear()
            self._series.completion.clear()
            self._emit("training.failed", **fields, error=type(error).__name__, reason=reason(error))
        self._emit.bind(epoch=None)


@contextmanager
def training_run(
    context: TaskContext, series: TrainingSeries, samples: Optional[int], epochs: Optional[int]
) -> Iterator[Training]:
    """One run of training, with its events; what stage or status it means is the caller's to set."""
    training = Training(context, series, samples, epochs)
    context.emit("training.started", samples=series.samples.value(), epochs=series.epochs.value())
    context.under_way.append(training)
    try:
        yield training
    except BaseException as error:
        with context.guard:
            training._ended(error)
        raise
    finally:
        context.under_way.remove(training)
    with context.guard:
        training._ended(None)
        context.on_success()


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0
