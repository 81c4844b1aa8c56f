"""Metrics of training, evaluation and deployment: incremental and lifelong learning, training of federated learning."""

from __future__ import annotations

from typing import Tuple

from sedna_metrics.catalogue._metric import STEP_BUCKETS, Metric

STAGES = ("train", "eval", "deploy")
STAGE_STATUSES = ("waiting", "ready", "starting", "running", "completed", "failed")
DEPLOY_STATUSES = ("waiting", "ok", "not_ok")

TASK_STAGE = Metric(
    "sedna_task_stage",
    "state",
    "Stage that this worker is in.",
    labels=("task_stage",),
    proposal=("TaskStage",),
    states=STAGES,
    state_label="task_stage",
)
STAGE_STATUS = Metric(
    "sedna_stage_status",
    "state",
    "Status of each stage that this worker has entered.",
    labels=("task_stage", "status"),
    proposal=("CurrentStatus",),
    states=STAGE_STATUSES,
    state_label="status",
)
ITERATION = Metric(
    "sedna_iteration",
    "gauge",
    "Number of the iteration under way; on a federated training worker its local round.",
    proposal=("IterationNo",),
    minimum=0,
)
ITERATION_INFERENCES = Metric(
    "sedna_iteration_inferences",
    "gauge",
    "Inferences since the iteration began; back to 0 when it changes.",
    proposal=("IterationInferenceCount",),
)
ITERATION_HARD_SAMPLES = Metric(
    "sedna_iteration_hard_samples",
    "gauge",
    "Hard samples since the iteration began; back to 0 when it changes.",
    proposal=("IterationHardSampleNum",),
)
TRAINING_SAMPLES = Metric(
    "sedna_training_samples", "gauge", "Samples that are trained on.", proposal=("TrainSampleNum",), minimum=0
)
TRAINING_LOSS = Metric(
    "sedna_training_loss",
    "gauge",
    "Latest loss; of a history its last value. NaN and infinities are kept as they are.",
    proposal=("TrainLoss",),
    reduce="last",
)
NONFINITE_LOSSES = Metric("sedna_training_nonfinite_losses_total", "counter", "Losses that were NaN or infinite.")
TRAINING_REMAINING = Metric(
    "sedna_training_remaining_seconds",
    "gauge",
    "Time that training will still take, as estimated at its last progress.",
    unit="seconds",
    proposal=("TrainRemainingTime",),
    minimum=0,
)
TRAINING_COMPLETION = Metric(
    "sedna_training_estimated_completion_timestamp_seconds",
    "gauge",
    "Unix time at which training should end; one that lies in the past gives a hung worker away.",
    unit="seconds",
    minimum=0,
)
TRAINING_EPOCH = Metric(
    "sedna_training_epoch", "gauge", "Epoch under way, or last finished, counted from 1.", minimum=0
)
TRAINING_EPOCHS = Metric("sedna_training_epochs", "gauge", "Epochs planned.", minimum=0)
STEP_DURATION = Metric(
    "sedna_training_step_duration_seconds",
    "histogram",
    "Duration of training steps.",
    unit="seconds",
    buckets=STEP_BUCKETS,
)
TRAINING_OUTPUT_MODEL = Metric(
    "sedna_training_output_model_info",
    "info",
    "URL of the model that training wrote last, without credentials and query.",
    labels=("url",),
    proposal=("TrainOutputModelUrl",),
)
EVAL_SAMPLES = Metric(
    "sedna_eval_samples", "gauge", "Samples that are evaluated on.", proposal=("EvalSampleNum",), minimum=0
)
EVAL_REMAINING = Metric(
    "sedna_eval_remaining_seconds",
    "gauge",
    "Time that evaluation will still take, as estimated at its last progress.",
    unit="seconds",
    proposal=("EvalRemainingTime",),
    minimum=0,
)
EVAL_COMPLETION = Metric(
    "sedna_eval_estimated_completion_timestamp_seconds",
    "gauge",
    "Unix time at which evaluation should end; one that lies in the past gives a hung worker away.",
    unit="seconds",
    minimum=0,
)
EVAL_NEW_MODEL = Metric(
    "sedna_eval_new_model_info",
    "info",
    "URL of the new model that was evaluated last, without credentials and query.",
    labels=("url",),
    proposal=("EvalNewModelUrl",),
)
EVAL_SCORE = Metric(
    "sedna_eval_score",
    "gauge",
    "Score of the new or the old model in the latest evaluation; of scores by class their mean.",
    labels=("model", "metric"),
    proposal=("AccuracyMetricForNewModel", "AccuracyMetricForOldModel"),
    reduce="mean",
)
DEPLOY_MODEL = Metric(
    "sedna_deploy_model_info",
    "info",
    "URL of the model that was deployed last, without credentials and query.",
    labels=("url",),
    proposal=("DeployModelUrl",),
)
DEPLOY_STATUS = Metric(
    "sedna_deploy_status",
    "state",
    "Whether the latest deployment went well.",
    labels=("status",),
    proposal=("DeployStatus",),
    states=DEPLOY_STATUSES,
    state_label="status",
)
KNOWN_TASKS = Metric(
    "sedna_known_tasks", "gauge", "Tasks that the knowledge base knows (lifelong learning).", minimum=0
)
TASK_SAMPLES = Metric(
    "sedna_task_samples", "gauge", "Samples that the knowledge base's tasks rest on (lifelong learning).", minimum=0
)

METRICS: Tuple[Metric, ...] = (
    TASK_STAGE,
    STAGE_STATUS,
    ITERATION,
    ITERATION_INFERENCES,
    ITERATION_HARD_SAMPLES,
    TRAINING_SAMPLES,
    TRAINING_LOSS,
    NONFINITE_LOSSES,
    TRAINING_REMAINING,
    TRAINING_COMPLETION,
    TRAINING_EPOCH,
    TRAINING_EPOCHS,
    STEP_DURATION,
    TRAINING_OUTPUT_MODEL,
    EVAL_SAMPLES,
    EVAL_REMAINING,
    EVAL_COMPLETION,
    EVAL_NEW_MODEL,
    EVAL_SCORE,
    DEPLOY_MODEL,
    DEPLOY_STATUS,
    KNOWN_TASKS,
    TASK_SAMPLES,
)
