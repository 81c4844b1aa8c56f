"""What a job reports to its Local Controller: the model and the numbers of the run in progress.

Source: ``JobBase.report_task_info`` of lib/sedna/core/base.py. A report is a list with an entry for each model,
``{"format", "url", "metrics"}``; metrics are what the user's ``train`` or ``evaluate`` returned.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from sedna_metrics.auto._hooks import Observer, Steps
from sedna_metrics.metrics._values import mean_of
from sedna_metrics.tasks._evaluation import Evaluation
from sedna_metrics.tasks._training import Training

_LOSS_NAMES = ("loss", "train_loss", "training_loss", "total_loss")


class Reports:
    """The runs in progress, which a report completes."""

    def __init__(self) -> None:
        self.runs: Dict[int, Any] = {}  # trainings and evaluations, by the id() of Sedna's job object
        self.on_deployment: Callable[[Any, bool], None] = lambda job, is_in_use: None

    def around(self, make: Callable[..., Any], then: Callable[[Any, Any], None] = lambda run, result: None) -> Observer:
        """The method is the run that ``make`` returns, called with its arguments, or part of a run of the same job.

        ``then`` is called with the run and the result before the run ends.
        """

        def observe(job: Any, *arguments: Any, **keywords: Any) -> Steps:
            if id(job) in self.runs:
                yield
                return
            run = self.runs[id(job)] = make(job, *arguments, **keywords)
            try:
                with run:
                    then(run, (yield))
            finally:
                del self.runs[id(job)]

        return observe

    def reported(
        self, job: Any, task_info: Any, status: Any, results: Any = None, kind: Any = "train", *_: Any, **__: Any
    ) -> Steps:
        """A hot update, which only incremental learning has, or the models of the run."""
        if kind == "deploy":
            self.on_deployment(job, status == "completed")
        else:
            _note(self.runs.get(id(job)), list(_models(results)))
        yield  # and not before: without a Local Controller, sending takes some 12 s


def _note(run: Any, models: List[Tuple[Any, Any]]) -> None:
    if not models:
        return
    url, metrics = models[0]
    if isinstance(run, Training):
        run.output_model(url)
        loss = loss_of(metrics)
        if loss is not None:
            run.loss(loss)
    elif isinstance(run, Evaluation):
        # IncrementalLearning.evaluate goes through MODEL_URLS, "new;old".
        run.new_model(url, scores_of(metrics))
        if len(models) > 1:
            run.old_model(models[1][0], scores_of(models[1][1]))


def _models(results: Any) -> Iterator[Tuple[Any, Any]]:
    for result in results if isinstance(results, (list, tuple)) else ():
        if isinstance(result, Mapping) and result.get("url"):
            yield result["url"], result.get("metrics")


def loss_of(trained: Any) -> Optional[Any]:
    """The loss in what the user's ``train`` returned, or ``None``.

    It is a number or a list of them, of which the last counts; or a mapping, or a Keras ``History``, with a loss among
    its keys.
    """
    history = getattr(trained, "history", None)
    if isinstance(history, Mapping):
        trained = history
    if isinstance(trained, (list, tuple)) and trained and isinstance(trained[-1], Mapping):
        trained = trained[-1]  # a record for each epoch
    if isinstance(trained, Mapping):
        losses = [name for name in _LOSS_NAMES if name in trained][:1] or [
            name for name in trained if str(name).lower().endswith("loss") and not str(name).startswith("val")
        ]
        trained = trained[losses[0]] if len(losses) == 1 else None
    return trained if _is_number(trained) else None


def scores_of(evaluated: Any) -> Dict[str, Any]:
    """The numbers in what the user's ``evaluate`` returned; a bare number is called ``score``."""
    if isinstance(evaluated, Mapping):
        return {str(name): value for name, value in evaluated.items() if _is_number(value)}
    return {"score": evaluated} if _is_number(evaluated) else {}


def _is_number(value: Any) -> bool:
    try:
        mean_of(value)
    except Exception:  # a foreign object's __float__ may raise anything
        return False
    return not isinstance(value, bool)
