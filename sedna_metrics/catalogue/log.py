"""The log's half of the contract: top-level fields of a line, and the lifecycle events.

Standard library only: what generates pipelines for Promtail and Alloy reads it too.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Tuple

ALWAYS: Tuple[str, ...] = ("timestamp", "level", "logger", "message")
"""Fields of every line."""

IDENTITY: Tuple[str, ...] = ("namespace", "task", "worker", "kind", "worker_type", "node")
"""Fields of every line of a worker."""

CONTEXT: Tuple[str, ...] = ("iteration", "epoch", "task_stage", "location")
"""Fields of the lines to which they apply. A worker script can bind more."""

SOMETIMES: Tuple[str, ...] = ("event", "exception", "stack", "truncated")
"""Fields of some lines."""

FIELDS: Tuple[str, ...] = (*ALWAYS, *IDENTITY, *CONTEXT, *SOMETIMES)
"""Every top-level field whose name and meaning do not depend on the worker script."""

MAX_LINE_BYTES = 16_000
"""Longest line with its newline. Container runtimes split at 16,384 bytes, and what is joined wrongly is no JSON."""


class Event(NamedTuple):
    """One kind of lifecycle event: when it is written, and its fields by name with their meaning."""

    name: str
    when: str
    fields: Mapping[str, str]

    @property
    def level(self) -> str:
        """Level of the record."""
        return "ERROR" if self.name.endswith(".failed") else "INFO"


_ERROR = {"error": "type of the exception", "reason": "its text, at most 500 characters"}
_SAMPLES = {"samples": "`sedna_training_samples`"}
_TRAINED = {
    **_SAMPLES, "epochs": "finished epochs, if known", "loss": "`sedna_training_loss`",
    "duration_seconds": "time since training.started",
}  # fmt: skip
_EVALUATED = {
    "samples": "`sedna_eval_samples`", "new_model_url": "URL of the new model, without secrets",
    "old_model_url": "URL of the old model, without secrets", "new_<metric>": '`sedna_eval_score{model="new"}`',
    "old_<metric>": '`sedna_eval_score{model="old"}`',
}  # fmt: skip
_EVALUATION_SECONDS = {"duration_seconds": "time since evaluation.started"}

# fmt: off
EVENTS: Tuple[Event, ...] = (
    Event("worker.started", "The worker has started.", {
        "metrics_url": "URL of /metrics, if it is scraped", "pushgateway": "URL of the Pushgateway, if it pushes"}),
    Event("iteration.started", "An iteration (local round) has begun.", {"iteration": "`sedna_iteration`"}),
    Event("stage.changed", "The script has set stage and status directly.", {
        "task_stage": "`sedna_task_stage`", "status": "`sedna_stage_status`"}),
    Event("training.started", "Training has begun.", {**_SAMPLES, "epochs": "`sedna_training_epochs`"}),
    Event("training.epoch", "An epoch is done.", {
        "epoch": "`sedna_training_epoch`", "epochs": "`sedna_training_epochs`", "loss": "`sedna_training_loss`",
        "remaining_seconds": "`sedna_training_remaining_seconds`"}),
    Event("training.waiting", "A training worker waits for the aggregate.", {}),
    Event("training.completed", "Training has completed.", {**_TRAINED, "model_url": "URL of the model"}),
    Event("training.failed", "Training has failed with an exception.", {**_TRAINED, **_ERROR}),
    Event("evaluation.started", "Evaluation has begun.", {"samples": "`sedna_eval_samples`"}),
    Event("evaluation.completed", "Evaluation has completed.", {**_EVALUATED, **_EVALUATION_SECONDS}),
    Event("evaluation.failed", "Evaluation has failed with an exception.", {
        "samples": "`sedna_eval_samples`", **_EVALUATION_SECONDS, **_ERROR}),
    Event("model.deploy_waiting", "A model waits for its deployment.", {}),
    Event("model.deployed", "A model is in use.", {"model_url": "`sedna_deploy_model_info`"}),
    Event("model.not_deployed", "A model was not deployed.", {"model_url": "its URL", "reason": "why"}),
    Event("nodes.changed", "The number of participating nodes has changed.", {"nodes": "`sedna_train_nodes`"}),
    Event("aggregation.started", "A round of aggregation has begun.", {"round": "its number"}),
    Event("aggregation.completed", "A round of aggregation has completed.", {
        "round": "`sedna_aggregation_round`", "nodes": "number of clients whose updates arrived",
        "duration_seconds": "`sedna_aggregation_duration_seconds`"}),
    Event("aggregation.failed", "A round of aggregation has failed with an exception.", {
        "round": "its number", **_ERROR}),
    Event("aggregate.received", "A training worker has received an aggregate.", {"round": "`sedna_aggregation_round`"}),
    Event("knowledge.updated", "The number of known tasks has changed.", {"tasks": "`sedna_known_tasks`"}),
    Event("inference.failed", "An inference has failed; at most one event per minute and location, one at the end.", {
        "location": "edge, cloud, or served",
        "failures": "`sedna_inference_errors_total`, `sedna_served_inference_errors_total`",
        "suppressed": "failures since the last such event", **_ERROR}),
    Event("worker.failed", "An exception has left the body of `with sedna_metrics.start()`.", dict(_ERROR)),
    Event("worker.terminated", "A signal ends the worker.", {"signal": "its name, such as SIGTERM"}),
)
# fmt: on
"""Events in the order of a task's life."""
