"""Evaluation of a new model against the old one, and deployment of the better one."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, TypeVar

from sedna_metrics._boundary import contained
from sedna_metrics._urls import strip_secrets
from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.errors import describe
from sedna_metrics.metrics import Gauge
from sedna_metrics.tasks._context import TaskContext
from sedna_metrics.tasks._runs import Run
from sedna_metrics.tasks._time_left import TimeLeft

T = TypeVar("T")
Scores = Dict[str, Dict[str, Gauge]]
"""Gauges by the metric's name, of the ``new`` and the ``old`` model."""


class Evaluation(Run):
    """One evaluation: ``with task.evaluation(...) as evaluation``."""

    def __init__(
        self, context: TaskContext, set_status: Callable[[str], Any], scores: Scores, samples: Any = None
    ) -> None:
        super().__init__(context, set_status)
        self._samples = context.instruments.gauge(metrics.EVAL_SAMPLES)
        self._new_model = context.instruments.info(metrics.EVAL_NEW_MODEL)
        self._scores = scores  # those of the evaluations before
        self._fields: Dict[str, Any] = {}
        self._time_left = TimeLeft(context, metrics.EVAL_REMAINING, metrics.EVAL_COMPLETION)
        self._samples.clear()
        if samples is not None:
            self._samples.set(samples)

    @contained()
    def samples(self, count: int) -> None:
        """Set the number of evaluation samples (EvalSampleNum), if it was not known at the start."""
        self._samples.set(count)

    @contained()
    def new_model(self, url: object, scores: Optional[Mapping[str, Any]] = None, **more: Any) -> None:
        """Record the scores of the new model (EvalNewModelUrl, AccuracyMetricForNewModel).

        Credentials and query are removed from its ``url``. Scores are values by name of the metric (``precision``,
        ``recall``, ``map``, ``f1``, ...); of a list of values by class the mean counts.
        """
        self._new_model.set({"url": strip_secrets(url)})
        self._score("new", url, scores, more)

    @contained()
    def old_model(self, url: object, scores: Optional[Mapping[str, Any]] = None, **more: Any) -> None:
        """Record the scores of the old model on the same samples (AccuracyMetricForOldModel); as :meth:`new_model`."""
        self._score("old", url, scores, more)

    def track(self, samples: Iterable[T], total: Optional[int] = None) -> Iterator[T]:
        """Iterate over the samples (or batches) of the evaluation, and record the time left."""
        count = self._time_left.count(samples, total)
        with self._boundary:
            self._time_left.begin_own_units()
        for done, sample in enumerate(samples, 1):
            yield sample
            if count:
                self.progress(done, count)

    @contained()
    def progress(self, done: float, total: float) -> None:
        """Set how much is done, in units of your own. The first call is where the measurement begins."""
        self._time_left.progress(done, total)

    def _score(self, model: str, url: object, scores: Optional[Mapping[str, Any]], more: Mapping[str, Any]) -> None:
        if scores is not None and not isinstance(scores, Mapping):
            self._boundary.reject(metrics.EVAL_SCORE.name, scores, "scores are a dict of values by name")
            scores = None
        gauges = self._scores.setdefault(model, {})
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
        self._context.emit("evaluation.started", samples=self._samples.value())

    def _on_end(self, error: Optional[BaseException]) -> None:
        common = {"samples": self._samples.value(), "duration_seconds": self._seconds()}
        if error is None:
            self._time_left.finish()
            self._context.emit("evaluation.completed", **common, **self._fields)
        else:
            self._time_left.clear()
            self._context.emit("evaluation.failed", **common, error=type(error).__name__, reason=describe(error))


class Deployment(Run):
    """One deployment: ``with task.deployment(url):``. DeployStatus is waiting, then ok, or not_ok after an error."""

    def __init__(self, context: TaskContext, set_status: Callable[[str], Any], url: object) -> None:
        super().__init__(context, set_status)
        self._url = strip_secrets(url)
        self._status = context.instruments.state(metrics.DEPLOY_STATUS)

    def refused(self, why: str) -> None:
        """The model was not deployed; the old one stays."""
        self._status.set("not_ok")
        self._context.emit("model.not_deployed", model_url=self._url, reason=why)

    def _on_begin(self) -> None:
        self._status.set("waiting")
        self._context.emit("model.deploy_waiting")

    def _on_end(self, error: Optional[BaseException]) -> None:
        if error is not None:
            self.refused(type(error).__name__)
            return
        self._status.set("ok")
        self._context.instruments.info(metrics.DEPLOY_MODEL).set({"url": self._url})
        self._context.emit("model.deployed", model_url=self._url)
