"""What incremental and lifelong learning have in common: train, eval and inference workers use one class of Sedna."""

from __future__ import annotations

from typing import Any, Tuple

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Steps, length
from sedna_metrics.tasks._evaluation import Evaluation
from sedna_metrics.tasks._training import Training


class LearningWorker:
    """Observes the job's class for ``worker``."""

    _kind: str
    _attribute: str
    """Of the worker: its task."""
    _series: Tuple[str, ...]
    """Attributes of the task whose series an inference worker has."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._prepared = False
        self._updates = 0

    def _task(self, worker_type: str) -> Any:
        self._worker.update_identity(self._kind, worker_type)
        return getattr(self._worker, self._attribute)

    def _prepare(self) -> Any:
        task = self._task("inference")
        if not self._prepared:
            self._prepared = True
            for name in self._series:
                getattr(task, name)
            if self._worker.identity.iteration is None:
                task.iteration(0)
        return task

    def _deployed(self, url: Any, is_update: bool = False) -> None:
        task = self._prepare()
        if is_update:
            # Sedna does not tell an inference worker its iteration, so its updates are counted.
            self._updates += 1
            task.iteration((self._worker.identity.iteration or 0) + self._updates)
        with task.deployment(url):
            pass

    def _not_deployed(self, url: Any, why: str) -> None:
        task = self._prepare()
        task.not_deployed(url, why)
        task.stage("deploy", "failed")

    def construct(self, *_: Any, **__: Any) -> Steps:
        """An inference worker's series are there, at 0, before the first sample comes."""
        yield
        if self._worker.identity.worker_type == "inference":
            self._prepare().stage("deploy", "starting")

    def training(self, _: Any, train_data: Any = None, *__: Any, **___: Any) -> Training:
        """The train stage. Loss and model URL come with the report."""
        training: Training = self._task("train").training(length(train_data))
        return training

    def evaluation(self, _: Any, data: Any = None, *__: Any, **___: Any) -> Evaluation:
        """The eval stage. URLs and scores come with the report; lifelong learning has no old model."""
        evaluation: Evaluation = self._task("eval").evaluation(length(data))
        return evaluation
