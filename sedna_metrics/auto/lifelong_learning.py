"""Lifelong learning: the train, eval and inference workers, which all use ``LifelongLearning``.

Source: lib/sedna/core/lifelong_learning/lifelong_learning.py, its knowledge_management/, and ``UnseenTaskProcessing``
of lib/sedna/algorithms/unseen_task_processing/unseen_task_processing.py.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, List, Mapping

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Function, Hook, argument, length, observed_late, samples_of
from sedna_metrics.auto._learning import LearningWorker
from sedna_metrics.auto._reports import Reports, loss_of
from sedna_metrics.metrics._values import last_of
from sedna_metrics.tasks import LifelongLearning

_MODULE = "sedna.core.lifelong_learning.lifelong_learning"
_KNOWLEDGE = "sedna.core.lifelong_learning.knowledge_management"
_EDGE = f"{_KNOWLEDGE}.edge_knowledge_management"
_CLOUD = f"{_KNOWLEDGE}.cloud_knowledge_management"
_UNSEEN = "sedna.algorithms.unseen_task_processing.unseen_task_processing"
_CLASS = "LifelongLearning"


def hooks(worker: Worker, reports: Reports) -> List[Hook]:
    """What is observed of lifelong learning."""
    observed = _Worker(worker, reports)
    training = ("train_data", "valid_data", "post_process")
    return [
        Hook(_MODULE, _CLASS, "__init__", (), observed.construction),
        Hook(_MODULE, _CLASS, "train", training, observed.train),
        Hook(_MODULE, _CLASS, "update", training, observed.train),
        Hook(_MODULE, _CLASS, "evaluate", ("data", "post_process"), observed.evaluate),
        Hook(_MODULE, _CLASS, "inference", ("data", "post_process"), observed.inference),
        Hook(_UNSEEN, "UnseenTaskProcessing", "predict", ("data", "post_process"), observed.unseen_samples),
        Hook(_CLOUD, "CloudKnowledgeManagement", "save_task_index", ("task_index", "task_type"), observed.known_tasks),
        Hook(_EDGE, "EdgeKnowledgeManagement", "save_task_index", ("task_index", "task_type"), observed.known_tasks),
        Hook(_EDGE, "EdgeKnowledgeManagement", "update_kb", ("task_index",), observed.deployment),
    ]


class _Worker(LearningWorker[LifelongLearning]):
    _kind = "lifelonglearningjob"

    def __init__(self, worker: Worker, reports: Reports) -> None:
        super().__init__(worker, reports)
        self._deployments = 0
        self._met = threading.local()

    @property
    def _own(self) -> LifelongLearning:
        return self._worker.lifelong_learning

    def _mention(self, task: LifelongLearning) -> None:
        task.inference, task.sample, task.unseen_sample  # noqa: B018

    def train(self, original: Function) -> Function:
        """The train stage, which ``train`` or ``update`` is; the URL, of the knowledge base, comes with the report.

        The loss is the mean over the tasks trained, of what the user's estimator returned for each.
        """
        trainings = self._reports.trainings

        def wrapper(job: Any, *arguments: Any, **keywords: Any) -> Any:
            with trainings.run(
                job, lambda: self._task("train").training(samples_of("train_data", arguments, keywords))
            ):
                result = original(job, *arguments, **keywords)
                with self._boundary:
                    training = trainings.of(job)
                    losses = _losses_of(result)
                    if training is not None and losses:
                        training.loss(sum(losses) / len(losses))
                return result

        return wrapper

    def inference(self, original: Function) -> Function:
        """An inference, of one sample or of several, and how many of them belong to no known task."""
        observed = observed_late(self._boundary, lambda: self._task("inference").inference, original)

        def wrapper(job: Any, *arguments: Any, **keywords: Any) -> Any:
            with self._boundary:
                self._prepare().sample(samples_of("data", arguments, keywords) or 1)
                self._met.unseen = 0
            result = None
            try:
                result = observed(job, *arguments, **keywords)
            finally:
                with self._boundary:
                    self._worker.lifelong_learning.unseen_sample(self._met.unseen or _unseen_of(result))
            return result

        return wrapper

    def unseen_samples(self, original: Function) -> Function:
        """The samples of unseen tasks, counted before ``inference`` makes a dict of them, by a name that may repeat."""

        def wrapper(processing: Any, *arguments: Any, **keywords: Any) -> Any:
            with self._boundary:
                self._met.unseen = samples_of("data", arguments, keywords) or 1
            return original(processing, *arguments, **keywords)

        return wrapper

    def known_tasks(self, original: Function) -> Function:
        """The tasks that the knowledge base knows, as it is written, and the samples that they rest on."""

        def wrapper(management: Any, *arguments: Any, **keywords: Any) -> Any:
            result = original(management, *arguments, **keywords)
            with self._boundary:
                if argument(1, "task_type", arguments, keywords) in (None, "seen_task"):
                    index = argument(0, "task_index", arguments, keywords)
                    tasks = [task for group in index["task_groups"] for task in (group.tasks or [group])]
                    self._worker.lifelong_learning.known_tasks(len(tasks))
                    self._worker.lifelong_learning.task_samples(sum(length(task.samples) or 0 for task in tasks))
            return result

        return wrapper

    def deployment(self, original: Function) -> Function:
        """The knowledge base comes to the edge: at first, and with each later version, which is an iteration.

        ``None`` is returned where it could not be read.
        """

        def wrapper(management: Any, *arguments: Any, **keywords: Any) -> Any:
            result = original(management, *arguments, **keywords)
            with self._boundary:
                task = self._prepare()
                url = _index_url() or argument(0, "task_index", arguments, keywords)
                if result is None:
                    task.not_deployed(url, "the index could not be read")
                    task.stage("deploy", "failed")
                else:
                    if self._deployments:
                        task.iteration((self._worker.identity.iteration or 0) + self._deployments)
                    self._deployments += 1
                    with task.deployment(url):
                        pass
            return result

        return wrapper


def _losses_of(trained: Any) -> List[float]:
    """The last loss of each task, of what ``LifelongLearning.train`` gives: the estimator's answers by task."""
    if not isinstance(trained, Mapping):
        return []
    losses = [loss_of(answer) for answer in trained.values()]
    return [last_of(loss) for loss in losses if loss is not None]


def _index_url() -> Any:
    config = sys.modules.get("sedna.common.config")
    return config.Context.get_parameters("MODEL_URLS") if config is not None else None


def _unseen_of(result: Any) -> int:
    # (res, is_unseen, tasks): one answer for one sample, else one for each.
    if not isinstance(result, (list, tuple)) or len(result) < 2:
        return 0
    unseen = result[1]
    return sum(map(bool, unseen.values())) if isinstance(unseen, Mapping) else int(bool(unseen))
