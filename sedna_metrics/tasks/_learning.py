"""What incremental and lifelong learning have in common: stages, training, evaluation, deployment, inference."""

from __future__ import annotations

from functools import partial
from typing import Optional

from sedna_metrics._boundary import contained
from sedna_metrics._noop import Noop
from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import TaskContext, lazy_instrument
from sedna_metrics.tasks._evaluation import Deployment, Evaluation, Scores
from sedna_metrics.tasks._inference import InferenceTask
from sedna_metrics.tasks._stages import Iteration, Stages
from sedna_metrics.tasks._training import Training


class LearningTask(InferenceTask):
    """A task that trains, evaluates, deploys and infers in turn."""

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self._stages = Stages(context)
        self._iteration = Iteration(context)
        self._scores: Scores = {}
        if context.iteration is not None:
            self._iteration.start_at(context.iteration)

    @lazy_instrument
    def inference(self) -> Observation:
        """Decorator and context manager for an inference of the deployed model; each is one sample."""
        calls = self._edge.calls
        self._context.instruments.callback(metrics.SAMPLES, lambda: calls.finished() + calls.failed())
        return self._edge.observe

    @contained(Noop)
    def training(self, samples: Optional[int] = None, epochs: Optional[int] = None) -> Training:
        """The train stage, as a context manager: running, then completed, or failed if the body raised.

        Args:
            samples: number of training samples (TrainSampleNum).
            epochs: number of epochs planned.
        """
        return Training(self._context, partial(self._stages.set, "train"), samples, epochs)

    @contained(Noop)
    def evaluation(self, samples: Optional[int] = None) -> Evaluation:
        """The eval stage, as a context manager: running, then completed, or failed if the body raised.

        Args:
            samples: number of evaluation samples (EvalSampleNum).
        """
        return Evaluation(self._context, partial(self._stages.set, "eval"), self._scores, samples)

    @contained(Noop)
    def deployment(self, url: object) -> Deployment:
        """The deploy stage, as a context manager around the code that puts the model at ``url`` into use."""
        return Deployment(self._context, partial(self._stages.set, "deploy"), url)

    @contained()
    def not_deployed(self, url: object, reason: str) -> None:
        """The model at ``url`` was not better, or not wanted: DeployStatus is not_ok, the deployed model stays."""
        self._stages.set("deploy", "completed")
        self.deployment(url).refused(reason)

    @contained()
    def stage(self, stage: str, status: str) -> None:
        """Set stage and status directly, if no context manager fits (TaskStage, CurrentStatus).

        Args:
            stage: train, eval or deploy.
            status: waiting, ready, starting, running, completed or failed.
        """
        if self._stages.set(stage, status):
            self._context.emit("stage.changed", task_stage=stage, status=status)

    @contained()
    def iteration(self, number: int) -> None:
        """Begin iteration ``number`` (IterationNo). Sedna's train and eval workers get theirs from their paths."""
        if self._iteration.begin(number):
            self._new_iteration()

    @contained()
    def end(self, status: str) -> None:
        """The worker ends: stages that are not finished are ``completed`` or ``failed``."""
        self._stages.end(status)

    def _new_iteration(self) -> None:
        """For what is counted by iteration."""
