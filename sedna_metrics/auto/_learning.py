"""What the workers of incremental and lifelong learning have in common: one class of Sedna's is all three of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Function, samples_of
from sedna_metrics.auto._reports import Reports
from sedna_metrics.tasks._learning import LearningTask

T = TypeVar("T", bound=LearningTask)


class LearningWorker(ABC, Generic[T]):
    """Observes the job's class for ``worker``."""

    _kind: str

    def __init__(self, worker: Worker, reports: Reports) -> None:
        self._worker = worker
        self._boundary = worker.guard
        self._reports = reports
        self._prepared = False

    @property
    @abstractmethod
    def _own(self) -> T:
        """The worker's task."""

    @abstractmethod
    def _mention(self, task: T) -> None:
        """Mention what an inference worker's series come from."""

    def _task(self, worker_type: str) -> T:
        self._worker.update_identity(self._kind, worker_type)
        return self._own

    def _prepare(self) -> T:
        task = self._task("inference")
        if not self._prepared:
            self._prepared = True
            self._mention(task)
            if self._worker.identity.iteration is None:
                task.iteration(0)
        return task

    def construction(self, original: Function) -> Function:
        """An inference worker's series are there, at 0, before the first sample comes."""

        def wrapper(job: Any, *arguments: Any, **keywords: Any) -> None:
            original(job, *arguments, **keywords)
            with self._boundary:
                if self._worker.identity.worker_type == "inference":
                    self._prepare().stage("deploy", "starting")

        return wrapper

    def evaluate(self, original: Function) -> Function:
        """The eval stage. URLs and scores come with the report; lifelong learning has no old model."""
        evaluations = self._reports.evaluations

        def wrapper(job: Any, *arguments: Any, **keywords: Any) -> Any:
            with evaluations.run(job, lambda: self._task("eval").evaluation(samples_of("data", arguments, keywords))):
                return original(job, *arguments, **keywords)

        return wrapper
