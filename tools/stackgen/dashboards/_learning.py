"""Rows about stages, training, evaluation and models, as incremental and lifelong learning have them."""

from __future__ import annotations

from typing import Dict, List, Sequence

from sedna_metrics.catalogue import Metric, inference, learning
from stackgen.dashboards._panels import Built, bars, lines, numbers, rows, side_by_side, spread, states
from stackgen.dashboards._queries import buckets, highest, increase, latest_score, of, quantile, state, total
from stackgen.dashboards._resource import condition


def stages(camel: str) -> Dict[str, Sequence[Built]]:
    """Where the task is."""
    return {
        "Stages": [
            states(
                "TaskStage",
                "The stage that each worker is in.",
                {"{{worker}}": state(learning.TASK_STAGE, "task, worker")},
                learning.TASK_STAGE.states,
            ),
            states(
                "CurrentStatus",
                "The status of each stage that a worker has entered.",
                {"{{worker}} {{task_stage}}": state(learning.STAGE_STATUS, "task, worker, task_stage")},
                learning.STAGE_STATUS.states,
            ),
            states(
                "DeployStatus",
                "Whether the latest deployment went well.",
                {"{{worker}}": state(learning.DEPLOY_STATUS, "task, worker")},
                learning.DEPLOY_STATUS.states,
            ),
            condition(camel),
        ]
    }


def iterations() -> List[Built]:
    """The iteration and what it counted."""
    return [
        numbers("IterationNo", "Number of the iteration under way.", {"{{task}}": highest(learning.ITERATION, "task")}),
        numbers(
            "IterationInferenceCount",
            "Inferences since the iteration began.",
            {"{{task}}": total(learning.ITERATION_INFERENCES, "task")},
        ),
        numbers(
            "IterationHardSampleNum",
            "Hard samples since the iteration began: what the next training has to learn from.",
            {"{{task}}": total(learning.ITERATION_HARD_SAMPLES, "task")},
        ),
        lines(
            "Within the iteration",
            "Inferences and hard samples since the iteration began; both begin again at 0 with the next one.",
            {
                "{{worker}} inferences": of(learning.ITERATION_INFERENCES),
                "{{worker}} hard": of(learning.ITERATION_HARD_SAMPLES),
            },
        ),
    ]


def training() -> Dict[str, Sequence[Built]]:
    """How training goes on."""
    return {
        "Training": [
            numbers("TrainSampleNum", "Samples that are trained on.", {"{{worker}}": of(learning.TRAINING_SAMPLES)}),
            numbers(
                "TrainRemainingTime",
                "Time that training will still take, as estimated at its last progress.",
                {"{{worker}}": of(learning.TRAINING_REMAINING)},
                "s",
            ),
            numbers(
                "Ends",
                "When training should end. A time that lies in the past gives a worker away that hangs.",
                {"{{worker}}": f"{of(learning.TRAINING_COMPLETION)} * 1000"},
                "dateTimeFromNow",
            ),
            bars(
                "Epochs",
                "Part of the planned epochs that is done or under way.",
                {"{{worker}}": f"{of(learning.TRAINING_EPOCH)} / ({of(learning.TRAINING_EPOCHS)} > 0)"},
                "percentunit",
                span=8,
            ),
            numbers(
                "Losses that are no number",
                "Losses that were NaN or infinite, in the time shown.",
                {"{{worker}}": increase(learning.NONFINITE_LOSSES, "task, worker")},
            ),
            lines("TrainLoss", "The latest loss of each worker.", {"{{worker}}": of(learning.TRAINING_LOSS)}, "short"),
            lines(
                "Epoch",
                "The epoch under way, of those planned.",
                {"{{worker}}": of(learning.TRAINING_EPOCH), "{{worker}} planned": of(learning.TRAINING_EPOCHS)},
            ),
            lines(
                "Duration of steps",
                "Half of the training steps, and 95 and 99 of 100, took no longer than this.",
                {
                    f"{{{{worker}}}} p{q}": quantile(q / 100, learning.STEP_DURATION, "task, worker")
                    for q in (50, 95, 99)
                },
                "s",
            ),
            spread("Spread of steps", "How long training steps take.", buckets(learning.STEP_DURATION)),
        ]
    }


def evaluation() -> Dict[str, Sequence[Built]]:
    """The new model against the old one."""
    new, old = (latest_score("metric", model) for model in ("new", "old"))
    return {
        "Evaluation": [
            numbers("EvalSampleNum", "Samples that are evaluated on.", {"{{worker}}": of(learning.EVAL_SAMPLES)}),
            numbers(
                "EvalRemainingTime",
                "Time that evaluation will still take, as estimated at its last progress.",
                {"{{worker}}": of(learning.EVAL_REMAINING)},
                "s",
            ),
            numbers(
                "Ends",
                "When evaluation should end. A time that lies in the past gives a worker away that hangs.",
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
                "Score of the new model less that of the old one. Below 0 it is worse.",
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
    """Where the models are."""
    named = (
        f'label_replace({highest(metric, "task, worker, url")}, "model", "{name}", "", "")'
        for name, metric in _MODELS.items()
    )
    return rows(
        "TrainOutputModelUrl, EvalNewModelUrl, DeployModelUrl",
        "The model that was trained, evaluated and deployed last.",
        {"models": " or ".join(named)},
        {"task": "Task", "worker": "Worker", "model": "Model", "url": "URL"},
        span,
    )


def unseen() -> List[Built]:
    """What lifelong learning knows, and does not know."""
    return [
        numbers(
            "Known tasks", "Tasks that the knowledge base knows.", {"{{task}}": highest(learning.KNOWN_TASKS, "task")}
        ),
        numbers(
            "Samples of known tasks",
            "Samples that the knowledge base's tasks rest on.",
            {"{{task}}": highest(learning.TASK_SAMPLES, "task")},
        ),
        numbers(
            "Unseen samples",
            "Samples of tasks that the knowledge base has not seen, since the workers started.",
            {"{{task}}": total(inference.UNSEEN_SAMPLES, "task")},
        ),
    ]
