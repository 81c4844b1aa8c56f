"""Evaluation of a new model against the old one, and deployment of the better one."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, TypeVar

from sedna_metrics._boundary import contained
from sedna_metrics._progress import Progress
from sedna_metrics._urls import strip_secrets
from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.metrics import Gauge
from sedna_metrics.tasks._context import TaskContext, reason
from sedna_metrics.tasks._runs import Run
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
        """Gauges by the metric's name, of the new and the old model."""


class Evaluation(Run):
    """One evaluation: ``with task.evaluation(...) as evaluation``."""

    def __init__(
        self, context: TaskContext, series: EvaluationSeries, set_status: Callable[[str], Any], samples: Any = None
    ) -> None:
        super().__init__(context, set_status)
        self._series = series
        self._progress = Progress(context.clock, None)
        self._is_measuring = False
        self._fields: Dict[str, Any] = {}
        self._time_left = TimeLeft(context, metrics.EVAL_REMAINING, series.remaining, series.completion)
        series.samples.clear()
        if samples is not None:
            series.samples.set(samples)

    @contained()
    def samples(self, count: int) -> None:
        """Set the number of evaluation samples (EvalSampleNum), if it was not known at the start."""
        self._series.samples.set(count)

    @contained()
    def new_model(self, url: object, scores: Optional[Mapping[str, Any]] = None, **more: Any) -> None:
        """Record the scores of the new model (EvalNewModelUrl, AccuracyMetricForNewModel).

        Args:
            url: of the model; credentials and query are removed.
            scores: value by name of the metric (``precision``, ``recall``, ``map``, ``f1``, ...); of a list of values
                by class the mean counts.
            more: further scores.
        """
        self._series.new_model.set({"url": strip_secrets(url)})
        self._score("new", url, scores, more)

    @contained()
    def old_model(self, url: object, scores: Optional[Mapping[str, Any]] = None, **more: Any) -> None:
        """Record the scores of the old model on the same samples (AccuracyMetricForOldModel); as :meth:`new_model`."""
        self._score("old", url, scores, more)

    def track(self, samples: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Iterate over the samples (or batches) of the evaluation, and record the time left."""
        count = self._count(samples, total)
        self._is_measuring = True
        for done, sample in enumerate(samples, 1):
            yield sample
            if count:
                self.progress(done, count)

    @contained()
    def _count(self, samples: Any, total: Optional[int]) -> Optional[int]:
        return self._time_left.count(samples, total)

    @contained()
    def progress(self, done: float, total: float) -> None:
        """Set how much is done, in units of your own. The first call is where the measurement begins."""
        self._time_left.update(self._progress, done, total)
        if not self._is_measuring:
            self._is_measuring = True
            self._progress.begin(self._progress.done)
            self._time_left.clear()

    def _score(self, model: str, url: object, scores: Optional[Mapping[str, Any]], more: Mapping[str, Any]) -> None:
        if scores is not None and not isinstance(scores, Mapping):
            self._boundary.reject(metrics.EVAL_SCORE.name, scores, "scores are a dict of values by name")
            scores = None
        gauges = self._series.scores[model]
        if f"{model}_model_url" not in self._fields:
            for gauge in gauges.values():
                gauge.clear()  # the scores of the last evaluation's model
        self._fields[f"{model}_model_url"] = strip_secrets(url)
        for name, value in {**(scores or {}), **more}.items():
            metric = str(name)[:100]
            if metric not in gauges:
                gauges[metric] = self._context.instruments.gauge(metrics.EVAL_SCORE, None, model=model, metric=metric)
            gauges[metric].set(value)
            self._fields[f"{model}_{name}"] = gauges[metric].value()

    def _on_begin(self) -> None:
        self._context.emit("evaluation.started", samples=self._series.samples.value())

    def _on_end(self, error: Optional[BaseException]) -> None:
        common = {"samples": self._series.samples.value(), "duration_seconds": self._seconds()}
        if error is None:
            self._time_left.finish()
            self._context.emit("evaluation.completed", **common, **self._fields)
        else:
            self._time_left.clear()
            self._context.emit("evaluation.failed", **common, error=type(error).__name__, reason=reason(error))


class DeploymentSeries:
    """Status and URL of the latest deployment."""

    def __init__(self, context: TaskContext) -> None:
        self._emit = context.emit
        self._status = context.instruments.state(metrics.DEPLOY_STATUS)
        self._model = context.instruments.info(metrics.DEPLOY_MODEL)

    def waiting(self) -> None:
        """A model waits for its deployment."""
        self._status.set("waiting")
        self._emit("model.deploy_waiting")

    def deployed(self, url: object) -> None:
        """The model at ``url`` is in use now."""
        self._status.set("ok")
        clean = strip_secrets(url)
        self._model.set({"url": clean})
        self._emit("model.deployed", model_url=clean)

    def not_deployed(self, url: object, why: str) -> None:
        """The model at ``url`` was not deployed."""
        self._status.set("not_ok")
        self._emit("model.not_deployed", model_url=strip_secrets(url), reason=why)


class Deployment(Run):
    """One deployment: ``with task.deployment(url):``. DeployStatus is waiting, then ok, or not_ok after an error."""

    def __init__(
        self, context: TaskContext, series: DeploymentSeries, set_status: Callable[[str], Any], url: object
    ) -> None:
        super().__init__(context, set_status)
        self._series = series
        self._url = url

    def _on_begin(self) -> None:
        self._series.waiting()

    def _on_end(self, error: Optional[BaseException]) -> None:
        if error is None:
            self._series.deployed(self._url)
        else:
            self._series.not_deployed(self._url, type(error).__name__)
