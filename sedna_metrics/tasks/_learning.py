"""What incremental and lifelong learning have in common: stages, training, evaluation, deployment, inference."""

from __future__ import annotations

from functools import partial
from typing import Dict, Optional, Set

from sedna_metrics._boundary import contained
from sedna_metrics._noop import Noop
from sedna_metrics.catalogue import learning as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import TaskContext, lazy_instrument
from sedna_metrics.tasks._evaluation import Deployment, Evaluation, Scores
from sedna_metrics.tasks._inference import InferenceTask
from sedna_metrics.tasks._training import Training


class LearningTask(InferenceTask):
    """A task that trains, evaluates, deploys and infers in turn."""

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self._stage = context.instruments.state(metrics.TASK_STAGE)
        self._statuses: Dict[str, str] = {}  # of each stage that was entered
        self._ended: Set[str] = set()  # stages whose status end() has set
        self._scores: Scores = {}
        iteration = context.identity.iteration
        if iteration is not None:  # nothing begins by that
            context.instruments.gauge(metrics.ITERATION).set(iteration)
            context.emit.bind(iteration=iteration)

    @lazy_instrument
    def inference(self) -> Observation:
        """Decorator and context manager for an inference of the deployed model; each is one sample (:attr:`sample`)."""
        return self._observe("edge")

    @contained(Noop)
    def training(self, samples: Optional[int] = None, epochs: Optional[int] = None) -> Training:
        """The train stage, as a context manager: running, then completed, or failed if the body raised.

        ``samples`` is the number of training samples (TrainSampleNum), ``epochs`` the number of epochs planned.
        """
        return Training(self._context, partial(self._set_stage, "train"), samples, epochs)

    @contained(Noop)
    def evaluation(self, samples: Optional[int] = None) -> Evaluation:
        """The eval stage, as :meth:`training`; ``samples`` is the number of evaluation samples (EvalSampleNum)."""
        return Evaluation(self._context, partial(self._set_stage, "eval"), self._scores, samples)

    @contained(Noop)
    def deployment(self, url: object) -> Deployment:
        """The deploy stage, as a context manager around the code that puts the model at ``url`` into use."""
        return Deployment(self._context, partial(self._set_stage, "deploy"), url)

    @contained()
    def not_deployed(self, url: object, reason: str) -> None:
        """The model at ``url`` was not better, or not wanted: DeployStatus is not_ok, the deployed model stays."""
        self._set_stage("deploy", "completed")
        self.deployment(url).refused(reason)

    @contained()
    def stage(self, stage: str, status: str) -> None:
        """Set stage and status directly, if no context manager fits (TaskStage, CurrentStatus).

        Stages are train, eval and deploy; statuses waiting, ready, starting, running, completed and failed.
        """
        if self._set_stage(stage, status):
            self._context.emit("stage.changed", task_stage=stage, status=status)

    @contained()
    def iteration(self, number: int) -> None:
        """Begin iteration ``number`` (IterationNo). Sedna's train and eval workers get theirs from their paths."""
        if self._begin_iteration(number):
            self._new_iteration()

    @contained()
    def end(self, status: str) -> None:
        """The worker ends: stages that are not finished are ``completed`` or ``failed``; a second call may change that.

        If it failed, so has its current stage, or the stage of its worker type if it never entered one.
        """
        current = self._stage.current or self._context.identity.worker_type
        stages = {stage for stage, now in self._statuses.items() if now not in ("completed", "failed")} | self._ended
        if status == "failed" and current in metrics.TASK_STAGE.states:
            stages.add(current)
        for stage in sorted(stages, key=lambda each: each == current):  # the current one last, as it stays current
            self._set_stage(stage, status)
        self._ended = stages

    def _set_stage(self, stage: str, status: str) -> bool:
        """Enter ``stage`` with ``status``; returns whether they are valid. Invalid values change nothing."""
        for metric, value in ((metrics.TASK_STAGE, stage), (metrics.STAGE_STATUS, status)):
            if not isinstance(value, str) or value not in metric.states:
                self._boundary.reject(metric.name, value, f"it must be one of {', '.join(metric.states)}")
                return False
        self._stage.set(stage)
        self._context.instruments.state(metrics.STAGE_STATUS, task_stage=stage).set(status)
        self._context.emit.bind(task_stage=stage)
        self._statuses[stage] = status
        self._ended.discard(stage)
        self._context.on_change()
        return True

    def _new_iteration(self) -> None:
        """For what is counted by iteration."""
