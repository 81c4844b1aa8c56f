"""All tasks at a glance."""

from __future__ import annotations

from sedna_metrics.catalogue import federated, inference, learning, worker
from stackgen.dashboards._board import board
from stackgen.dashboards._panels import lines, numbers, rows, share, states
from stackgen.dashboards._queries import highest, of, quantile, rate, ratio, state, total

_WORKERS = of(worker.WORKER_INFO)

_NOW = [
    numbers("Tasks", "Tasks whose workers are seen.", {"tasks": f"count(count by (namespace, task) ({_WORKERS}))"}),
    numbers("Workers", "Workers that are seen.", {"workers": f"count({_WORKERS})"}),
    numbers(
        "Alerts",
        "Alerts of sedna-metrics that fire.",
        {"firing": 'count(ALERTS{alertname=~"Sedna.+",alertstate="firing"}) or vector(0)'},
    ),
    numbers("Inferences", "Inferences that finish, a second.", {"rate": rate(inference.INFERENCES)}, "reqps"),
    numbers(
        "Hard samples",
        "Part of the samples.",
        {"ratio": ratio(inference.HARD_SAMPLES, inference.SAMPLES)},
        "percentunit",
    ),
    numbers(
        "Training ends",
        "The longest time that a training will still take.",
        {"remaining": highest(learning.TRAINING_REMAINING)},
        "s",
    ),
    rows(
        "Tasks",
        "What is seen of each task.",
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
            "Value #remaining": "Seconds left",
        },
        span=18,
    ),
    share(
        "Workers by kind", "Kinds of the tasks that workers belong to.", {"{{kind}}": f"count by (kind) ({_WORKERS})"}
    ),
    rows(
        "Alerts that fire",
        "What each means is in the operator's guide.",
        {"alerts": 'ALERTS{alertname=~"Sedna.+",alertstate="firing"}'},
        {"alertname": "Alert", "severity": "Severity", "task": "Task", "worker": "Worker", "instance": "Instance"},
        span=24,
    ),
]
_INFERENCE = [
    lines(
        "Inferences",
        "Inferences that finish, a second, by task and where.",
        {"{{task}} {{location}}": rate(inference.INFERENCES, "task, location")},
        "reqps",
    ),
    lines(
        "Duration of inferences",
        "95 of 100 took no longer than this.",
        {"{{task}} {{location}}": quantile(0.95, inference.DURATION, "task, location")},
        "s",
    ),
    lines(
        "Hard samples",
        "Part of the samples that is called hard, by task.",
        {"{{task}}": ratio(inference.HARD_SAMPLES, inference.SAMPLES, "task")},
        "percentunit",
    ),
    lines(
        "Errors",
        "Inferences that raise, a second, by task and where.",
        {"{{task}} {{location}}": rate(inference.ERRORS, "task, location")},
        "reqps",
    ),
]
_LEARNING = [
    states(
        "Stages",
        "The stage that each worker is in.",
        {"{{task}} {{worker}}": state(learning.TASK_STAGE, "task, worker")},
        learning.TASK_STAGE.states,
    ),
    states(
        "Federated workers",
        "What each training worker is at; waiting is for the aggregate.",
        {"{{task}} {{worker}}": state(federated.TRAIN_STATUS, "task, worker")},
        federated.TRAIN_STATUS.states,
    ),
    lines("Loss", "The latest loss of each worker.", {"{{task}} {{worker}}": of(learning.TRAINING_LOSS)}),
    lines("Time left", "Of the trainings under way.", {"{{task}} {{worker}}": of(learning.TRAINING_REMAINING)}, "s"),
]

BOARD = board(
    "sedna-overview",
    "Overview",
    "All tasks: workers, inference, training, alerts.",
    {"Now": _NOW, "Inference": _INFERENCE, "Learning": _LEARNING},
)
