"""Rows about stages, training, evaluation and models, as incremental and lifelong learning have them."""

from __future__ import annotations

from typing import Dict, List, Sequence

from sedna_metrics.catalogue import Metric, inference, learning
from stackgen.dashboards._panels import Built, bars, lines, numbers, rows, side_by_side, spread, states
from stackgen.dashboards._queries import buckets, highest, increase, latest_score, of, quantile, state, total
from stackgen.dashboards._resource import condition


def stages(camel: str) -> Dict[str, Sequence[Built]]:
    """Stage, status and condition of the task."""
    return {
        "Stages": [
            states(
                "TaskStage",
                "Stage of each worker.",
                {"{{worker}}": state(learning.TASK_STAGE, "task, worker")},
                learning.TASK_STAGE.states,
            ),
            states(
                "CurrentStatus",
                "Status of each stage that a worker has entered.",
                {"{{worker}} {{task_stage}}": state(learning.STAGE_STATUS, "task, worker, task_stage")},
                learning.STAGE_STATUS.states,
            ),
            states(
                "DeployStatus",
                "Result of the latest deployment.",
                {"{{worker}}": state(learning.DEPLOY_STATUS, "task, worker")},
                learning.DEPLOY_STATUS.states,
            ),
            condition(camel),
        ]
    }


def iterations() -> List[Built]:
    """The iteration and what it counted."""
    return [
        numbers("IterationNo", "Current iteration.", {"{{task}}": highest(learning.ITERATION, "task")}),
        numbers(
            "IterationInferenceCount",
            "Inferences in the current iteration.",
            {"{{task}}": total(learning.ITERATION_INFERENCES, "task")},
        ),
        numbers(
            "IterationHardSampleNum",
            "Hard samples in the current iteration, for the next training.",
            {"{{task}}": total(learning.ITERATION_HARD_SAMPLES, "task")},
        ),
        lines(
            "Within the iteration",
            "Inferences and hard samples in the current iteration; both start at 0 in each.",
            {
                "{{worker}} inferences": of(learning.ITERATION_INFERENCES),
                "{{worker}} hard": of(learning.ITERATION_HARD_SAMPLES),
            },
        ),
    ]


def training() -> Dict[str, Sequence[Built]]:
    """Progress of training."""
    return {
        "Training": [
            numbers("TrainSampleNum", "Number of training samples.", {"{{worker}}": of(learning.TRAINING_SAMPLES)}),
            numbers(
                "TrainRemainingTime",
                "Estimated remaining time of training, as of its last progress.",
                {"{{worker}}": of(learning.TRAINING_REMAINING)},
                "s",
            ),
            numbers(
                "Estimated end",
                "When training should end. If this time is in the past, the worker hangs.",
                {"{{worker}}": f"{of(learning.TRAINING_COMPLETION)} * 1000"},
                "dateTimeFromNow",
            ),
            bars(
                "Epochs",
                "Current epoch as a share of the planned epochs.",
                {"{{worker}}": f"{of(learning.TRAINING_EPOCH)} / ({of(learning.TRAINING_EPOCHS)} > 0)"},
                "percentunit",
                span=8,
            ),
            numbers(
                "Non-finite losses",
                "Losses that were NaN or infinite, in the time range of the dashboard.",
                {"{{worker}}": increase(learning.NONFINITE_LOSSES, "task, worker")},
            ),
            lines(
                "TrainLoss", "Latest training loss of each worker.", {"{{worker}}": of(learning.TRAINING_LOSS)}, "short"
            ),
            lines(
                "Epoch",
                "Current epoch and planned epochs.",
                {"{{worker}}": of(learning.TRAINING_EPOCH), "{{worker}} planned": of(learning.TRAINING_EPOCHS)},
            ),
            lines(
                "Step duration",
                "50th, 95th and 99th percentile of training steps.",
                {
                    f"{{{{worker}}}} p{q}": quantile(q / 100, learning.STEP_DURATION, "task, worker")
                    for q in (50, 95, 99)
                },
                "s",
            ),
            spread(
                "Step duration distribution", "Number of training steps by duration.", buckets(learning.STEP_DURATION)
            ),
        ]
    }


def evaluation() -> Dict[str, Sequence[Built]]:
    """The new model against the old one."""
    new, old = (latest_score("metric", model) for model in ("new", "old"))
    return {
        "Evaluation": [
            numbers("EvalSampleNum", "Number of evaluation samples.", {"{{worker}}": of(learning.EVAL_SAMPLES)}),
            numbers(
                "EvalRemainingTime",
                "Estimated remaining time of evaluation, as of its last progress.",
                {"{{worker}}": of(learning.EVAL_REMAINING)},
                "s",
            ),
            numbers(
                "Estimated end",
                "When evaluation should end. If this time is in the past, the worker hangs.",
                {"{{worker}}": f"{of(learning.EVAL_COMPLETION)} * 1000"},
                "dateTimeFromNow",
            ),
            side_by_side(
                "AccuracyMetricForNewModel, AccuracyMetricForOldModel",
                "Scores of the new and the old model in the latest evaluation.",
                {"new": new, "old": old},
                by="metric",
            ),
            lines(
                "Gain of the new model",
                "Score of the new model minus that of the old one. Below 0 the new model is worse.",
                {
                    "{{task}} {{metric}}": f"{latest_score('task, metric', 'new')} - "
                    f"{latest_score('task, metric', 'old')}"
                },
            ),
        ]
    }


_MODELS: Dict[str, Metric] = {
    "TrainOutputModelUrl": learning.TRAINING_OUTPUT_MODEL,
    "EvalNewModelUrl": learning.EVAL_NEW_MODEL,
    "DeployModelUrl": learning.DEPLOY_MODEL,
}


def models(span: int = 12) -> Built:
    """URLs of the models."""
    named = (
        f'label_replace({highest(metric, "task, worker, url")}, "model", "{name}", "", "")'
        for name, metric in _MODELS.items()
    )
    return rows(
        "TrainOutputModelUrl, EvalNewModelUrl, DeployModelUrl",
        "URL of the model that was last trained, evaluated and deployed.",
        {"models": " or ".join(named)},
        {"task": "Task", "worker": "Worker", "model": "Model", "url": "URL"},
        span,
    )


def unseen() -> List[Built]:
    """Known tasks and unseen samples."""
    return [
        numbers("Known tasks", "Tasks in the knowledge base.", {"{{task}}": highest(learning.KNOWN_TASKS, "task")}),
        numbers(
            "Samples of known tasks",
            "Samples of the tasks in the knowledge base.",
            {"{{task}}": highest(learning.TASK_SAMPLES, "task")},
        ),
        numbers(
            "Unseen samples",
            "Samples of tasks that are not in the knowledge base, since the workers started.",
            {"{{task}}": total(inference.UNSEEN_SAMPLES, "task")},
        ),
    ]
