"""Lifelong learning: the train, eval and inference workers, which all use ``LifelongLearning``.

Source: lib/sedna/core/lifelong_learning/lifelong_learning.py, its knowledge_management/, and ``UnseenTaskProcessing``
of lib/sedna/algorithms/unseen_task_processing/unseen_task_processing.py.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, List, Mapping

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Hook, Steps, length
from sedna_metrics.auto._learning import LearningWorker
from sedna_metrics.auto._reports import Reports, loss_of
from sedna_metrics.metrics._values import last_of

_MODULE = "sedna.core.lifelong_learning.lifelong_learning"
_KNOWLEDGE = "sedna.core.lifelong_learning.knowledge_management"
_EDGE = f"{_KNOWLEDGE}.edge_knowledge_management"
_CLOUD = f"{_KNOWLEDGE}.cloud_knowledge_management"
_UNSEEN = "sedna.algorithms.unseen_task_processing.unseen_task_processing"
_CLASS = "LifelongLearning"


def hooks(worker: Worker, reports: Reports) -> List[Hook]:
    """The hooks of lifelong learning."""
    observed, arguments = _Worker(worker, reports), ("train_data", "valid_data", "post_process")
    train = reports.trainings.around(observed.training, observed.trained)
    evaluate = reports.evaluations.around(observed.evaluation)
    return [
        Hook(_MODULE, _CLASS, "__init__", (), observed.construct),
        Hook(_MODULE, _CLASS, "train", arguments, train),
        Hook(_MODULE, _CLASS, "update", arguments, train),
        Hook(_MODULE, _CLASS, "evaluate", ("data", "post_process"), evaluate),
        Hook(_MODULE, _CLASS, "inference", ("data", "post_process"), observed.inference),
        Hook(_UNSEEN, "UnseenTaskProcessing", "predict", ("data", "post_process"), observed.unseen),
        Hook(_CLOUD, "CloudKnowledgeManagement", "save_task_index", ("task_index", "task_type"), observed.save_index),
        Hook(_EDGE, "EdgeKnowledgeManagement", "save_task_index", ("task_index", "task_type"), observed.save_index),
        Hook(_EDGE, "EdgeKnowledgeManagement", "update_kb", ("task_index",), observed.update),
    ]


class _Worker(LearningWorker):
    _kind = "lifelonglearningjob"
    _attribute = "lifelong_learning"
    _series = ("inference", "sample", "unseen_sample")

    def __init__(self, worker: Worker, reports: Reports) -> None:
        super().__init__(worker)
        self._trainings = reports.trainings
        self._is_deployed = False
        self._met = threading.local()

    def trained(self, job: Any, result: Any) -> None:
        """The loss: the mean over the tasks trained, of what the user's estimator returned for each."""
        training, losses = self._trainings.of(job), _losses_of(result)
        if training is not None and losses:
            training.loss(sum(losses) / len(losses))

    def inference(self, _: Any, data: Any = None, *__: Any, **___: Any) -> Steps:
        """An inference, of one sample or of several, and how many of them belong to no known task."""
        task, result = self._prepare(), None
        task.sample(length(data) or 1)
        self._met.unseen = 0
        try:
            with task.inference():
                result = yield
        finally:
            task.unseen_sample(self._met.unseen or _unseen_of(result))

    def unseen(self, _: Any, data: Any = None, *__: Any, **___: Any) -> Steps:
        """The samples of unseen tasks, counted before ``inference`` makes a dict of them, by a name that may repeat."""
        self._met.unseen = length(data) or 1
        yield

    def save_index(self, _: Any, task_index: Any, task_type: Any = "seen_task", *__: Any, **___: Any) -> Steps:
        """The tasks in the knowledge base, as it is written, and their samples."""
        yield
        if task_type == "seen_task":
            tasks = [task for group in task_index["task_groups"] for task in (group.tasks or [group])]
            self._worker.lifelong_learning.known_tasks(len(tasks))
            self._worker.lifelong_learning.task_samples(sum(length(task.samples) or 0 for task in tasks))

    def update(self, _: Any, task_index: Any = None, *__: Any, **___: Any) -> Steps:
        """The knowledge base comes to the edge; each version after the first is an iteration."""
        result = yield
        url = _index_url() or task_index
        if result is None:
            self._not_deployed(url, "the index could not be read")
        else:
            self._deployed(url, is_update=self._is_deployed)
            self._is_deployed = True


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
