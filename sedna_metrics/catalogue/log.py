"""The log's half of the contract: top-level fields of a line, and the lifecycle events.

Standard library only: what generates pipelines for Promtail and Alloy reads it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Tuple

ALWAYS: Tuple[str, ...] = ("timestamp", "level", "logger", "message")
"""Fields of every line."""

IDENTITY: Tuple[str, ...] = ("namespace", "task", "worker", "kind", "worker_type", "node")
"""Fields of every line of a worker."""

CONTEXT: Tuple[str, ...] = ("iteration", "epoch", "task_stage", "location")
"""Fields of the lines to which they apply. A worker script can bind more."""

SOMETIMES: Tuple[str, ...] = ("event", "exception", "stack", "truncated")
"""Fields of lines that have such a thing to tell."""

FIELDS: Tuple[str, ...] = (*ALWAYS, *IDENTITY, *CONTEXT, *SOMETIMES)
"""Every top-level field whose name and meaning do not depend on the worker script."""

MAX_LINE_BYTES = 16_000
"""Longest line with its newline. Container runtimes split at 16,384 bytes, and what is joined wrongly is no JSON."""


@dataclass(frozen=True)
class Event:
    """One kind of lifecycle event.

    Attributes:
        name: value of the field ``event``.
        when: when it is written, as a sentence.
        fields: name and meaning of the fields that it can have; one whose value is not known is left out.
    """

    name: str
    when: str
    fields: Mapping[str, str]

    @property
    def level(self) -> str:
        """What failed is an error."""
        return "ERROR" if self.name.endswith(".failed") else "INFO"


_ERROR = {"error": "type of what was raised", "reason": "what it says, at most 500 characters"}
_SAMPLES = {"samples": "`sedna_training_samples`"}
_EVALUATED = {
    "samples": "`sedna_eval_samples`",
    "new_model_url": "where the new model is, without secrets",
    "old_model_url": "where the old model is, without secrets",
    "new_<metric>": '`sedna_eval_score{model="new"}`',
    "old_<metric>": '`sedna_eval_score{model="old"}`',
}

EVENTS: Tuple[Event, ...] = (
    Event(
        "worker.started",
        "The worker's metrics are on.",
        {"metrics_url": "URL of /metrics, if it is scraped", "pushgateway": "URL of the Pushgateway, if it pushes"},
    ),
    Event("iteration.started", "An iteration (local round) began.", {"iteration": "`sedna_iteration`"}),
    Event(
        "stage.changed",
        "The script set stage and status outright.",
        {"task_stage": "`sedna_task_stage`", "status": "`sedna_stage_status`"},
    ),
    Event("training.started", "Training began.", {**_SAMPLES, "epochs": "`sedna_training_epochs`"}),
    Event(
        "training.epoch",
        "An epoch was done.",
        {
            "epoch": "`sedna_training_epoch`",
            "epochs": "`sedna_training_epochs`",
            "loss": "`sedna_training_loss`",
            "remaining_seconds": "`sedna_training_remaining_seconds`",
        },
    ),
    Event("training.waiting", "A node waits for the aggregate.", {}),
    Event(
        "training.completed",
        "Training ended well.",
        {
            **_SAMPLES,
            "epochs": "epochs that were done",
            "loss": "`sedna_training_loss`",
            "duration_seconds": "time since training.started",
            "model_url": "where the model is, without secrets",
        },
    ),
    Event(
        "training.failed",
        "Training raised.",
        {
            **_SAMPLES,
            "epochs": "epochs that were done",
            "loss": "`sedna_training_loss`",
            "duration_seconds": "time since training.started",
            **_ERROR,
        },
    ),
    Event("evaluation.started", "Evaluation began.", {"samples": "`sedna_eval_samples`"}),
    Event(
        "evaluation.completed",
        "Evaluation ended well.",
        {**_EVALUATED, "duration_seconds": "time since evaluation.started"},
    ),
    Event(
        "evaluation.failed",
        "Evaluation raised.",
        {"samples": "`sedna_eval_samples`", "duration_seconds": "time since evaluation.started", **_ERROR},
    ),
    Event("model.deploy_waiting", "A model is to be deployed.", {}),
    Event("model.deployed", "A model is in use.", {"model_url": "`sedna_deploy_model_info`"}),
    Event(
        "model.not_deployed",
        "A model did not come into use.",
        {"model_url": "where it is, without secrets", "reason": "why not"},
    ),
    Event("nodes.changed", "Other nodes take part than before.", {"nodes": "`sedna_train_nodes`"}),
    Event("aggregation.started", "A round of aggregation began.", {"round": "number of the round"}),
    Event(
        "aggregation.completed",
        "An aggregate was made.",
        {
            "round": "`sedna_aggregation_round`",
            "nodes": "number of nodes whose update came",
            "duration_seconds": "`sedna_aggregation_duration_seconds`",
        },
    ),
    Event("aggregation.failed", "A round of aggregation raised.", {"round": "number of the round", **_ERROR}),
    Event(
        "aggregate.received", "A training node has the aggregate of a round.", {"round": "`sedna_aggregation_round`"}
    ),
    Event("knowledge.updated", "The knowledge base knows other tasks than before.", {"tasks": "`sedna_known_tasks`"}),
    Event(
        "inference.failed",
        "An inference raised; once a minute at most for each location, and as the worker ends if some were kept back.",
        {
            "location": "edge, cloud, or served",
            "failures": "`sedna_inference_errors_total`, `sedna_served_inference_errors_total`",
            "suppressed": "failures since the last such event that had none of their own",
            **_ERROR,
        },
    ),
    Event("worker.failed", "The body of `with sedna_metrics.start()` raised.", dict(_ERROR)),
    Event("worker.terminated", "A signal ends the worker.", {"signal": "its name, such as SIGTERM"}),
)
"""Events in the order of a task's life."""
