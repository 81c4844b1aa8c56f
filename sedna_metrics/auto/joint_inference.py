"""Joint inference: ``JointInference`` in the edge worker, ``BigModelService`` in the cloud worker.

Source: lib/sedna/core/joint_inference/joint_inference.py, and ``ModelClient`` of lib/sedna/service/client.py.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, List

from sedna_metrics._compat import cached_property
from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Hook, Steps
from sedna_metrics.tasks.joint_inference import JointInference

_MODULE = "sedna.core.joint_inference.joint_inference"
_KIND = "jointinferenceservice"


def hooks(worker: Worker) -> List[Hook]:
    edge = _EdgeWorker(worker)

    def construct_cloud(*_: Any, **__: Any) -> Steps:
        yield
        worker.update_identity(_KIND, "cloud")
        worker.joint_inference.serve  # noqa: B018

    def serve(*_: Any, **__: Any) -> Steps:
        with worker.joint_inference.serve():  # each attempt of an edge worker is one inference
            yield

    return [
        Hook(_MODULE, "JointInference", "__init__", (), edge.construct),
        Hook(_MODULE, "JointInference", "inference", ("data", "post_process"), edge.sample),
        Hook(_MODULE, "JointInference", "_get_edge_result", ("data", "callback_func"), edge.edge_inference),
        Hook(_MODULE, "JointInference", "_get_cloud_result", ("data", "post_process"), edge.mined_first),
        Hook("sedna.service.client", "ModelClient", "inference", ("x",), edge.cloud_inference),
        Hook(_MODULE, "BigModelService", "__init__", (), construct_cloud),
        Hook(_MODULE, "BigModelService", "inference", ("data", "post_process"), serve),
    ]


class _NoResultError(Exception):
    """The cloud's reply has no result, or Sedna failed before it asked: Sedna goes on as if the call had failed."""


class _EdgeWorker:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._asked = threading.local()

    @cached_property
    def _task(self) -> JointInference:
        # Not before Sedna's class is used: the cloud worker imports the same module.
        self._worker.update_identity(_KIND, "edge")
        return self._worker.joint_inference

    def construct(self, *_: Any, **__: Any) -> Steps:
        """The series exist, at 0, before the first sample: the rate over it needs them."""
        yield
        task = self._task
        task.edge_inference, task.cloud_inference, task.hard_sample, task.sample  # noqa: B018

    def sample(self, *_: Any, **__: Any) -> Steps:
        """A sample, in either mining mode, and what the miner says of it: the first of the four that are returned."""
        task = self._task
        task.sample()
        result = yield
        if result[0]:
            task.hard_sample()
            # Inference-then-mining: Sedna swallows what fails before it asks the client; that is an error of the cloud.
            was_asked, self._asked.cloud = getattr(self._asked, "cloud", False), False
            if len(result) > 3 and result[3] is None and not was_asked:
                with suppress(_NoResultError), task.cloud_inference():
                    raise _NoResultError("Sedna failed before it asked the cloud; its log says why")

    def edge_inference(self, *_: Any, **__: Any) -> Steps:
        with self._task.edge_inference():
            yield

    def mined_first(self, *_: Any, **__: Any) -> Steps:
        """Mining-then-inference: the cloud was asked because the sample is hard, and the error leaves ``inference``."""
        try:
            yield
        except BaseException:
            self._task.hard_sample()
            raise

    def cloud_inference(self, *_: Any, **__: Any) -> Steps:
        """One call of the cloud, however often it is tried inside (5 times, 3 s apart)."""
        self._asked.cloud = True
        with suppress(_NoResultError), self._task.cloud_inference():
            reply = yield
            if isinstance(reply, dict) and "result" not in reply:
                raise _NoResultError(reply)
