"""Lifelong learning: the train, eval and inference workers, which all use ``LifelongLearning``.

Source: lib/sedna/core/lifelong_learning/lifelong_learning.py, its knowledge_management/, and ``UnseenTaskProcessing``
of lib/sedna/algorithms/unseen_task_processing/unseen_task_processing.py.
"""

from __future__ import annotations

import sys
from typing import Any, List, Mapping

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Hook, Steps, sample_count
from sedna_metrics.auto._learning import LearningWorker
from sedna_metrics.auto._reports import Reports, loss_of
from sedna_metrics.metrics._values import last_of
from sedna_metrics.tasks._training import Training

_MODULE = "sedna.core.lifelong_learning.lifelong_learning"
_KNOWLEDGE = "sedna.core.lifelong_learning.knowledge_management"
_EDGE = f"{_KNOWLEDGE}.edge_knowledge_management"
_CLOUD = f"{_KNOWLEDGE}.cloud_knowledge_management"
_UNSEEN = "sedna.algorithms.unseen_task_processing.unseen_task_processing"
_CLASS = "LifelongLearning"


def hooks(worker: Worker, reports: Reports) -> List[Hook]:
    observed, arguments = _Worker(worker), ("train_data", "valid_data", "post_process")
    train = reports.around(observed.training, _trained)
    evaluate = reports.around(observed.evaluation)
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
    def __init__(self, worker: Worker) -> None:
        super().__init__(worker, "lifelonglearningjob", "lifelong_learning", "inference", "sample", "unseen_sample")
        self._is_deployed = False

    def inference(self, _: Any, data: Any = None, *__: Any, **___: Any) -> Steps:
        """An inference, of one sample or of several."""
        self._inference_task.sample(sample_count(data) or 1)
        with self._inference_task.inference():
            result = yield
        if _UNSEEN not in sys.modules:  # Sedna before 0.6
            self._inference_task.unseen_sample(_unseen_of(result))

    def unseen(self, _: Any, data: Any = None, *__: Any, **___: Any) -> Steps:
        """The samples of unseen tasks; ``inference`` returns them by a name that may repeat."""
        self._inference_task.unseen_sample(sample_count(data) or 1)
        yield

    def save_index(self, _: Any, task_index: Any, task_type: Any = "seen_task", *__: Any, **___: Any) -> Steps:
        """The tasks in the knowledge base, as it is written, and their samples."""
        yield
        if task_type == "seen_task":
            tasks = [task for group in task_index["task_groups"] for task in (group.tasks or [group])]
            self._worker.lifelong_learning.known_tasks(len(tasks))
            self._worker.lifelong_learning.task_samples(sum(sample_count(task.samples) or 0 for task in tasks))

    def update(self, _: Any, task_index: Any = None, *__: Any, **___: Any) -> Steps:
        """The knowledge base comes to the edge; each version after the first is an iteration."""
        result = yield
        url = _index_url() or task_index
        if result is None:
            self._not_deployed(url, "the index could not be read")
        else:
            self._deployed(url, is_update=self._is_deployed)
            self._is_deployed = True


def _trained(training: Training, result: Any) -> None:
    """The loss: the mean over the tasks trained, of the last one that the user's estimator returned for each."""
    if isinstance(result, Mapping):
        losses = [last_of(loss) for loss in map(loss_of, result.values()) if loss is not None]
        if losses:
            training.loss(sum(losses) / len(losses))


def _unseen_of(result: Any) -> int:
    # (res, is_unseen, tasks): one answer for one sample, else one for each.
    unseen = result[1] if isinstance(result, (list, tuple)) and len(result) > 1 else False
    return sum(map(bool, unseen.values())) if isinstance(unseen, Mapping) else int(bool(unseen))


def _index_url() -> Any:
    config = sys.modules.get("sedna.common.config")
    return config.Context.get_parameters("MODEL_URLS") if config is not None else None
