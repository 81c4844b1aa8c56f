"""What incremental and lifelong learning have in common: stages, training, evaluation, deployment, inference."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Optional

from sedna_metrics._compat import cached_property
from sedna_metrics.catalogue import inference as metrics
from sedna_metrics.decorators import Observation
from sedna_metrics.tasks._context import TaskContext, part
from sedna_metrics.tasks._evaluation import Deployment, Evaluation, EvaluationSeries, evaluation_run
from sedna_metrics.tasks._inference import InferenceLocation
from sedna_metrics.tasks._iteration import Iteration
from sedna_metrics.tasks._stages import Stages
from sedna_metrics.tasks._training import Training, TrainingSeries, training_run


class LearningTask:
    """A task that trains, evaluates, deploys and infers in turn."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._stages = Stages(context)
        self._iteration = Iteration(context)
        if context.iteration is not None:
            self._iteration.is_at(context.iteration)

    @part
    def inference(self) -> Observation:
        """Decorator and context manager for an inference of the deployed model, which is one sample each."""
        latency = self._edge.calls
        self._context.instruments.callback(metrics.SAMPLES, lambda: latency.finished() + latency.failed())
        return self._edge.observe

    @contextmanager
    def training(self, samples: Optional[int] = None, epochs: Optional[int] = None) -> Iterator[Training]:
        """The train stage: running while the body runs, then completed, or failed if it raised.

        Args:
            samples: number of samples that are trained on.
            epochs: number of epochs planned.
        """
        with self._stages.run("train"), training_run(
            self._context, lambda: self._training, samples, epochs
        ) as training:
            yield training

    @contextmanager
    def evaluation(self, samples: Optional[int] = None) -> Iterator[Evaluation]:
        """The eval stage: running while the body runs, then completed, or failed if it raised.

        Args:
            samples: number of samples that are evaluated on.
        """
        with self._stages.run("eval"), evaluation_run(self._context, lambda: self._evaluation, samples) as evaluation:
            yield evaluation

    @contextmanager
    def deployment(self, url: object) -> Iterator[None]:
        """The deploy stage, around the code that brings the model at ``url`` into use.

        DeployStatus is waiting while the body runs, then ok, or not_ok if it raised.
        """
        with self._stages.run("deploy"):
            with self._context.boundary:
                self._deployment.waiting()
            try:
                yield
            except BaseException as error:
                with self._context.boundary:
                    self._deployment.not_deployed(url, type(error).__name__)
                raise
            with self._context.boundary:
                self._deployment.deployed(url)

    def not_deployed(self, url: object, reason: str) -> None:
        """The model at ``url`` was not better, or not wanted: DeployStatus is not_ok, the deployed model stays."""
        with self._context.boundary:
            self._stages.status("deploy", "completed")
            self._deployment.not_deployed(url, reason)

    def stage(self, stage: str, status: str) -> None:
        """Say stage and status outright, where no context manager above fits (TaskStage, CurrentStatus).

        Args:
            stage: train, eval or deploy.
            status: waiting, ready, starting, running, completed or failed.
        """
        with self._context.boundary:
            if self._stages.status(stage, status):
                self._context.emit("stage.changed", task_stage=stage, status=status)

    def iteration(self, number: int) -> None:
        """Begin iteration ``number`` (IterationNo). Sedna's train and eval workers are told theirs by their paths."""
        with self._context.boundary:
            if self._iteration.begin(number):
                self._new_iteration()

    def _new_iteration(self) -> None:
        """For what is counted by iteration."""

    @cached_property
    def _edge(self) -> InferenceLocation:
        return InferenceLocation(self._context, "edge")

    @cached_property
    def _training(self) -> TrainingSeries:
        return TrainingSeries(self._context)

    @cached_property
    def _evaluation(self) -> EvaluationSeries:
        return EvaluationSeries(self._context)

    @cached_property
    def _deployment(self) -> Deployment:
        return Deployment(self._context)
