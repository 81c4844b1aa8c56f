"""Incremental learning: the train, eval and inference workers, which all use ``IncrementalLearning``.

Source: lib/sedna/core/incremental_learning/incremental_learning.py, and for hot updates ``ModelLoadingThread`` of
lib/sedna/core/base.py.
"""

from __future__ import annotations

import json
import os
from typing import Any, List, Optional, Set

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Function, Hook, observed_late, samples_of
from sedna_metrics.auto._learning import LearningWorker
from sedna_metrics.auto._reports import Reports
from sedna_metrics.tasks import IncrementalLearning

_MODULE = "sedna.core.incremental_learning.incremental_learning"
_CLASS = "IncrementalLearning"


def hooks(worker: Worker, reports: Reports) -> List[Hook]:
    """What is observed of incremental learning."""
    observed = _Worker(worker, reports)
    return [
        Hook(_MODULE, _CLASS, "__init__", (), observed.construction),
        Hook(_MODULE, _CLASS, "train", ("train_data", "valid_data", "post_process"), observed.train),
        Hook(_MODULE, _CLASS, "evaluate", ("data", "post_process"), observed.evaluate),
        Hook(_MODULE, _CLASS, "inference", ("data", "post_process"), observed.inference),
    ]


class _Worker(LearningWorker[IncrementalLearning]):
    _kind = "incrementallearningjob"

    def __init__(self, worker: Worker, reports: Reports) -> None:
        super().__init__(worker, reports)
        self._serving: Set[int] = set()
        self._updates = 0
        reports.on_deployment[_CLASS] = self._hot_update

    @property
    def _own(self) -> IncrementalLearning:
        return self._worker.incremental_learning

    def _mention(self, task: IncrementalLearning) -> None:
        task.inference, task.hard_sample  # noqa: B018

    def train(self, original: Function) -> Function:
        """The train stage. Loss and model URL come with the report."""
        trainings = self._reports.trainings

        def wrapper(job: Any, *arguments: Any, **keywords: Any) -> Any:
            with trainings.run(
                job, lambda: self._task("train").training(samples_of("train_data", arguments, keywords))
            ):
                return original(job, *arguments, **keywords)

        return wrapper

    def inference(self, original: Function) -> Function:
        """An inference, and what the miner says of the sample: the last of the three that are returned."""
        observed = observed_late(self._boundary, lambda: self._task("inference").inference, original)
        swallow = self._boundary.record

        def wrapper(job: Any, *arguments: Any, **keywords: Any) -> Any:
            if not self._prepared:
                with self._boundary:
                    self._prepare()
            result = observed(job, *arguments, **keywords)
            try:
                if id(job) not in self._serving:
                    self._serve(job)
                if result[2]:
                    self._worker.incremental_learning.hard_sample()
            except Exception as error:
                swallow(error)
            return result

        return wrapper

    def _serve(self, job: Any) -> None:
        # The first inference ended well, so that the model that the job was given is loaded.
        self._serving.add(id(job))
        task = self._prepare()
        if not self._updates:
            with task.deployment(job.model_path):
                pass
            task.stage("deploy", "running")

    def _hot_update(self, job: Any, came_into_use: bool) -> None:
        task = self._prepare()
        url = _updated_model(job)
        if came_into_use:
            # An inference worker is told no iteration: its hot updates are counted.
            self._updates += 1
            task.iteration((self._worker.identity.iteration or 0) + self._updates)
            with task.deployment(url or job.model_path):
                pass
        else:
            task.not_deployed(url or "", "the estimator could not load it")
            task.stage("deploy", "failed")


def _updated_model(job: Any) -> Optional[str]:
    # The Local Controller writes the file on the node; where it is remote instead, the URL is not known: nothing of
    # ours downloads anything.
    path = job.get_parameters("MODEL_HOT_UPDATE_CONFIG")
    if not path or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        return str(json.load(file)["model_config"]["model_path"])
