"""Joint inference: ``JointInference`` in the edge worker, ``BigModelService`` in the cloud worker.

Source: lib/sedna/core/joint_inference/joint_inference.py, and ``ModelClient`` of lib/sedna/service/client.py.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, Callable, List, Optional

from sedna_metrics._compat import cached_property
from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Function, Hook, after, observed_late
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks.joint_inference import JointInference

_MODULE = "sedna.core.joint_inference.joint_inference"
_KIND = "jointinferenceservice"


def hooks(worker: Worker) -> List[Hook]:
    """The hooks of joint inference."""
    edge, boundary = _EdgeWorker(worker), worker.guard

    def serve(*_: Any, **__: Any) -> Observation:
        worker.update_identity(_KIND, "cloud")
        return worker.joint_inference.serve

    return [
        Hook(_MODULE, "JointInference", "__init__", (), after(boundary, edge.constructed)),
        Hook(_MODULE, "JointInference", "inference", ("data", "post_process"), edge.sample),
        Hook(_MODULE, "JointInference", "_get_edge_result", ("data", "callback_func"), edge.edge_inference),
        Hook(_MODULE, "JointInference", "_get_cloud_result", ("data", "post_process"), edge.hard_sample_that_raises),
        Hook("sedna.service.client", "ModelClient", "inference", ("x",), edge.cloud_inference),
        Hook(_MODULE, "BigModelService", "__init__", (), after(boundary, serve)),
        # Each attempt of an edge worker is one inference.
        Hook(_MODULE, "BigModelService", "inference", ("data", "post_process"), observed_late(boundary, serve)),
    ]


class _NoResultError(Exception):
    """The cloud's reply holds no result: Sedna then goes on as if the call had failed."""


class _NotAskedError(Exception):
    """A hard sample that never reached the client."""


class _EdgeWorker:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._boundary = worker.guard
        self._asked = threading.local()

    @cached_property
    def _task(self) -> JointInference:
        # Not before Sedna's class is used: the cloud worker imports the same module.
        self._worker.update_identity(_KIND, "edge")
        return self._worker.joint_inference

    def constructed(self, *_: Any, **__: Any) -> None:
        """The series exist, at 0, before the first sample: the rate over it needs them."""
        task = self._task
        task.edge_inference, task.cloud_inference, task.hard_sample, task.sample  # noqa: B018

    def sample(self, original: Function) -> Function:
        """A sample, in either mining mode, and what the miner says of it: the first of the four that are returned."""
        swallow = self._boundary.record
        sample: Optional[Callable[[], None]] = None

        def wrapper(service: Any, *arguments: Any, **keywords: Any) -> Any:
            # The hot path: try and except cost nothing where nothing is raised, "with boundary" does.
            nonlocal sample
            try:
                if sample is None:
                    sample = self._task.sample
                sample()
            except Exception as error:
                swallow(error)
            result = original(service, *arguments, **keywords)
            try:
                if result[0]:
                    self._task.hard_sample()
                    self._check_cloud(result)
            except Exception as error:
                swallow(error)
            return result

        return wrapper

    def _check_cloud(self, result: Any) -> None:
        """Inference-then-mining: Sedna swallows what fails before it asks the client; that is an error of the cloud."""
        was_asked, self._asked.cloud = getattr(self._asked, "cloud", False), False
        if len(result) > 3 and result[3] is None and not was_asked:
            with suppress(_NotAskedError), self._task.cloud_inference():
                raise _NotAskedError("Sedna failed before it asked the cloud; its log says why")

    def edge_inference(self, original: Function) -> Function:
        """An inference of the little model, its post-processing included."""
        return observed_late(self._boundary, lambda: self._task.edge_inference)(original)

    def hard_sample_that_raises(self, original: Function) -> Function:
        """Mining-then-inference: the cloud was asked because the sample is hard, and the error leaves ``inference``."""

        def wrapper(service: Any, *arguments: Any, **keywords: Any) -> Any:
            try:
                return original(service, *arguments, **keywords)
            except BaseException:
                with self._boundary:
                    self._task.hard_sample()
                raise

        return wrapper

    def cloud_inference(self, original: Function) -> Function:
        """One call of the cloud, however often it is tried inside (5 times, 3 s apart)."""

        def checked(client: Any, *arguments: Any, **keywords: Any) -> Any:
            reply = original(client, *arguments, **keywords)
            if isinstance(reply, dict) and "result" not in reply:
                raise _NoResultError(reply)
            return reply

        observed = observed_late(self._boundary, lambda: self._task.cloud_inference)(checked)

        def wrapper(client: Any, *arguments: Any, **keywords: Any) -> Any:
            self._asked.cloud = True
            try:
                return observed(client, *arguments, **keywords)
            except _NoResultError as no_result:
                return no_result.args[0]

        return wrapper
