"""Incremental learning: the train, eval and inference workers, which all use ``IncrementalLearning``.

Source: lib/sedna/core/incremental_learning/incremental_learning.py, and for hot updates ``ModelLoadingThread`` of
lib/sedna/core/base.py.
"""

from __future__ import annotations

import json
import os
from typing import Any, List, Optional

from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Hook, Steps
from sedna_metrics.auto._learning import LearningWorker
from sedna_metrics.auto._reports import Reports

_MODULE = "sedna.core.incremental_learning.incremental_learning"
_CLASS = "IncrementalLearning"


def hooks(worker: Worker, reports: Reports) -> List[Hook]:
    observed = _Worker(worker, reports)
    train, evaluate = reports.around(observed.training), reports.around(observed.evaluation)
    return [
        Hook(_MODULE, _CLASS, "__init__", (), observed.construct),
        Hook(_MODULE, _CLASS, "train", ("train_data", "valid_data", "post_process"), train),
        Hook(_MODULE, _CLASS, "evaluate", ("data", "post_process"), evaluate),
        Hook(_MODULE, _CLASS, "inference", ("data", "post_process"), observed.inference),
    ]


class _Worker(LearningWorker):
    def __init__(self, worker: Worker, reports: Reports) -> None:
        super().__init__(worker, "incrementallearningjob", "incremental_learning", "inference", "hard_sample")
        self._is_serving = False
        reports.on_deployment = self._hot_update

    def inference(self, job: Any, *_: Any, **__: Any) -> Steps:
        """An inference, and what the miner says of the sample: the last of the three that are returned."""
        task = self._inference_task
        with task.inference():
            result = yield
        if not self._is_serving:  # this first inference ended well, so the model that the job was given is loaded
            self._is_serving = True
            if not self._updates:
                self._deployed(job.model_path)
                task.stage("deploy", "running")
        if result[2]:
            task.hard_sample()

    def _hot_update(self, job: Any, is_in_use: bool) -> None:
        url = _updated_model(job)
        if is_in_use:
            self._deployed(url or job.model_path, is_update=True)
        else:
            self._not_deployed(url or "", "the estimator could not load it")


def _updated_model(job: Any) -> Optional[str]:
    # The Local Controller writes the file on the node. If it is remote, the URL is unknown: we download nothing.
    path = job.get_parameters("MODEL_HOT_UPDATE_CONFIG")
    if not path or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        return str(json.load(file)["model_config"]["model_path"])
