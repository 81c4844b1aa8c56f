"""All tasks at a glance."""

from __future__ import annotations

from sedna_metrics.catalogue import federated, inference, learning, worker
from stackgen.dashboards._board import board
from stackgen.dashboards._panels import lines, numbers, rows, share, states
from stackgen.dashboards._queries import highest, of, quantile, rate, ratio, state, total

_WORKERS = of(worker.WORKER_INFO)

_NOW = [
    numbers("Tasks", "Tasks with workers in Prometheus.", {"tasks": f"count(count by (namespace, task) ({_WORKERS}))"}),
    numbers("Workers", "Workers in Prometheus.", {"workers": f"count({_WORKERS})"}),
    numbers(
        "Alerts",
        "Firing alerts of sedna-metrics.",
        {"firing": 'count(ALERTS{alertname=~"Sedna.+",alertstate="firing"}) or vector(0)'},
    ),
    numbers("Inferences", "Finished inferences per second.", {"rate": rate(inference.INFERENCES)}, "reqps"),
    numbers(
        "Hard samples",
        "Ratio of hard samples to all samples.",
        {"ratio": ratio(inference.HARD_SAMPLES, inference.SAMPLES)},
        "percentunit",
    ),
    numbers(
        "Longest remaining training",
        "The longest estimated remaining time of all trainings.",
        {"remaining": highest(learning.TRAINING_REMAINING)},
        "s",
    ),
    rows(
        "Tasks",
        "Latest values of each task.",
        {
            "workers": f"count by (namespace, task, kind) ({_WORKERS})",
            "samples": total(inference.SAMPLES, "namespace, task"),
            "hard": total(inference.HARD_SAMPLES, "namespace, task"),
            "iteration": highest(learning.ITERATION, "namespace, task"),
            "loss": highest(learning.TRAINING_LOSS, "namespace, task"),
            "remaining": highest(learning.TRAINING_REMAINING, "namespace, task"),
        },
        {
            "namespace": "Namespace",
            "task": "Task",
            "kind": "Kind",
            "Value #workers": "Workers",
            "Value #samples": "Samples",
            "Value #hard": "Hard",
            "Value #iteration": "Iteration",
            "Value #loss": "Loss",
            "Value #remaining": "Remaining (s)",
        },
        span=18,
    ),
    share("Workers by kind", "Number of workers by kind of task.", {"{{kind}}": f"count by (kind) ({_WORKERS})"}),
    rows(
        "Firing alerts",
        "The operator's guide explains each.",
        {"alerts": 'ALERTS{alertname=~"Sedna.+",alertstate="firing"}'},
        {"alertname": "Alert", "severity": "Severity", "task": "Task", "worker": "Worker", "instance": "Instance"},
        span=24,
    ),
]
_INFERENCE = [
    lines(
        "Inferences",
        "Finished inferences per second, by task and location.",
        {"{{task}} {{location}}": rate(inference.INFERENCES, "task, location")},
        "reqps",
    ),
    lines(
        "Inference duration",
        "95th percentile, by task and location.",
        {"{{task}} {{location}}": quantile(0.95, inference.DURATION, "task, location")},
        "s",
    ),
    lines(
        "Hard samples",
        "Ratio of hard samples to all samples, by task.",
        {"{{task}}": ratio(inference.HARD_SAMPLES, inference.SAMPLES, "task")},
        "percentunit",
    ),
    lines(
        "Errors",
        "Failed inferences per second, by task and location.",
        {"{{task}} {{location}}": rate(inference.ERRORS, "task, location")},
        "reqps",
    ),
]
_LEARNING = [
    states(
        "Stages",
        "Stage of each worker.",
        {"{{task}} {{worker}}": state(learning.TASK_STAGE, "task, worker")},
        learning.TASK_STAGE.states,
    ),
    states(
        "Federated workers",
        "Status of each worker; waiting means waiting for the aggregate.",
        {"{{task}} {{worker}}": state(federated.TRAIN_STATUS, "task, worker")},
        federated.TRAIN_STATUS.states,
    ),
    lines("Loss", "Latest training loss of each worker.", {"{{task}} {{worker}}": of(learning.TRAINING_LOSS)}),
    lines(
        "Remaining time",
        "Estimated remaining time of each training.",
        {"{{task}} {{worker}}": of(learning.TRAINING_REMAINING)},
        "s",
    ),
]

BOARD = board(
    "sedna-overview",
    "Overview",
    "All tasks: workers, inference, training, alerts.",
    {"Now": _NOW, "Inference": _INFERENCE, "Learning": _LEARNING},
)
