"""Evaluation of a new model against the old one, and deployment of the better."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, TypeVar

from sedna_metrics._noop import Noop
from sedna_metrics._progress import Progress
from sedna_metrics._urls import strip_secrets
from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.metrics import Gauge
from sedna_metrics.tasks._context import TaskContext, reason
from sedna_metrics.tasks._time_left import TimeLeft

T = TypeVar("T")


class EvaluationSeries:
    """The series of evaluation, made once for each task."""

    def __init__(self, context: TaskContext) -> None:
        instruments = context.instruments
        self.samples = instruments.gauge(metrics.EVAL_SAMPLES)
        self.remaining = instruments.gauge(metrics.EVAL_REMAINING)
        self.completion = instruments.gauge(metrics.EVAL_COMPLETION)
        self.new_model = instruments.info(metrics.EVAL_NEW_MODEL)
        self.scores: Dict[str, Dict[str, Gauge]] = {"new": {}, "old": {}}
        """Gauges by metric's name, of the new and the old model."""


class Evaluation:
    """One evaluation: what ``with task.evaluation(...) as evaluation`` gives."""

    def __init__(self, context: TaskContext, series: EvaluationSeries, samples: Optional[int]) -> None:
        self._context = context
        self._series = series
        self._progress = Progress(context.clock, None)
        self._fields: Dict[str, Any] = {}
        self._began = context.clock.monotonic()
        self._time_left = TimeLeft(context, metrics.EVAL_REMAINING, series.remaining, series.completion)
        series.samples.clear()
        if samples is not None:
            series.samples.set(samples)

    def samples(self, count: int) -> None:
        """Say how many samples are evaluated on (EvalSampleNum), where that was not known at the start."""
        with self._context.boundary:
            self._series.samples.set(count)

    def new_model(self, url: object, scores: Optional[Mapping[str, Any]] = None, **more: Any) -> None:
        """Say how the new model did (EvalNewModelUrl, AccuracyMetricForNewModel).

        Args:
            url: where the model is; credentials and query do not become a label.
            scores: value by name of the metric (``precision``, ``recall``, ``map``, ``f1``, ...); of a list of values
                by class the mean counts. What is no number is refused.
            more: further scores.
        """
        with self._context.boundary:
            self._series.new_model.set({"url": strip_secrets(url)})
            self._score("new", url, scores, more)

    def old_model(self, url: object, scores: Optional[Mapping[str, Any]] = None, **more: Any) -> None:
        """Say how the old model did on the same samples (AccuracyMetricForOldModel); as :meth:`new_model`."""
        with self._context.boundary:
            self._score("old", url, scores, more)

    def track(self, samples: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Go through the samples (or batches) of the evaluation; the time left comes from here."""
        count: Optional[int] = None
        with self._context.boundary:
            count = self._time_left.count(samples, total)
        for index, sample in enumerate(samples):
            yield sample
            if count:
                with self._context.boundary:
                    self._time_left.tell(self._progress, index + 1, count)

    def progress(self, done: float, total: float) -> None:
        """Say how far evaluation is, in units of your own."""
        with self._context.boundary:
            self._time_left.tell(self._progress, done, total)

    def _score(self, model: str, url: object, scores: Optional[Mapping[str, Any]], more: Mapping[str, Any]) -> None:
        if scores is not None and not isinstance(scores, Mapping):
            self._context.boundary.reject(metrics.EVAL_SCORE.name, scores, "scores come by name, as a dict")
            scores = None
        gauges = self._series.scores[model]
        if f"{model}_model_url" not in self._fields:
            for gauge in gauges.values():
                gauge.clear()  # what the last evaluation said of another model
        self._fields[f"{model}_model_url"] = strip_secrets(url)
        for name, value in {**(scores or {}), **more}.items():
            metric = str(name)[:100]
            if metric not in gauges:
                gauges[metric] = self._context.instruments.gauge(metrics.EVAL_SCORE, model=model, metric=metric)
            gauges[metric].set(value)
            self._fields[f"{model}_{name}"] = gauges[metric].value()

    def _ended(self, error: Optional[BaseException]) -> None:
        common = {
            "samples": self._series.samples.value(),
            "duration_seconds": self._context.clock.monotonic() - self._began,
        }
        if error is None:
            self._time_left.nothing()
            self._context.emit("evaluation.completed", **common, **self._fields)
        else:
            self._time_left.unknown()
            self._context.emit("evaluation.failed", **common, error=type(error).__name__, reason=reason(error))


@contextmanager
def evaluation_run(
    context: TaskContext, series: Callable[[], EvaluationSeries], samples: Optional[int]
) -> Iterator[Evaluation]:
    """One evaluation, with its events."""
    evaluation: Any = None
    with context.boundary:
        evaluation = Evaluation(context, series(), samples)
        context.emit("evaluation.started", samples=series().samples.value())
    if evaluation is None:
        evaluation = Noop()
    context.active_runs.append(evaluation)
    try:
        yield evaluation
    except BaseException as error:
        with context.boundary:
            evaluation._ended(error)
        raise
    finally:
        context.active_runs.remove(evaluation)
    with context.boundary:
        evaluation._ended(None)
        context.on_success()


class Deployment:
    """Deployment of models: status and URL of the latest."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._status = context.instruments.state(metrics.DEPLOY_STATUS)
        self._model = context.instruments.info(metrics.DEPLOY_MODEL)

    def waiting(self) -> None:
        """A model is to be deployed and waits for it."""
        self._status.set("waiting")
        self._context.emit("model.deploy_waiting")

    def deployed(self, url: object) -> None:
        """The model at ``url`` is in use now."""
        self._status.set("ok")
        clean = strip_secrets(url)
        self._model.set({"url": clean})
        self._context.emit("model.deployed", model_url=clean)

    def not_deployed(self, url: object, reason: str) -> None:
        """The model at ``url`` did not come into use."""
        self._status.set("not_ok")
        self._context.emit("model.not_deployed", model_url=strip_secrets(url), reason=reason)
