"""What incremental and lifelong learning have in common: train, eval and inference workers use one class of Sedna."""

from __future__ import annotations

from typing import Any

from sedna_metrics._compat import cached_property
from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Steps, sample_count


class LearningWorker:
    """Observes the job's class; ``series`` are the attributes of its task that an inference worker has."""

    def __init__(self, worker: Worker, kind: str, attribute: str, *series: str) -> None:
        self._worker = worker
        self._kind, self._attribute, self._series = kind, attribute, series
        self._updates = 0

    def _task(self, worker_type: str) -> Any:
        self._worker.update_identity(self._kind, worker_type)
        return getattr(self._worker, self._attribute)

    @cached_property
    def _inference_task(self) -> Any:
        task = self._task("inference")
        for name in self._series:
            getattr(task, name)
        if self._worker.identity.iteration is None:
            task.iteration(0)
        return task

    def _deployed(self, url: Any, is_update: bool = False) -> None:
        task = self._inference_task
        if is_update:
            # Sedna does not tell an inference worker its iteration, so its updates are counted.
            self._updates += 1
            task.iteration((self._worker.identity.iteration or 0) + self._updates)
        with task.deployment(url):
            pass

    def _not_deployed(self, url: Any, why: str) -> None:
        task = self._inference_task
        task.not_deployed(url, why)
        task.stage("deploy", "failed")

    def construct(self, *_: Any, **__: Any) -> Steps:
        """An inference worker's series are there, at 0, before the first sample comes."""
        yield
        if self._worker.identity.worker_type == "inference":
            self._inference_task.stage("deploy", "starting")

    def training(self, _: Any, train_data: Any = None, *__: Any, **___: Any) -> Any:
        """The train stage. Loss and model URL come with the report."""
        return self._task("train").training(sample_count(train_data))

    def evaluation(self, _: Any, data: Any = None, *__: Any, **___: Any) -> Any:
        """The eval stage. URLs and scores come with the report; lifelong learning has no old model."""
        return self._task("eval").evaluation(sample_count(data))
