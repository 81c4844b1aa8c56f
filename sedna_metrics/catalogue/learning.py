"""Metrics of training, evaluation and deployment: incremental and lifelong learning, federated training workers."""

from __future__ import annotations

from sedna_metrics.catalogue._metric import STEP_BUCKETS, Metric

STAGES = ("train", "eval", "deploy")
STAGE_STATUSES = ("waiting", "ready", "starting", "running", "completed", "failed")
DEPLOY_STATUSES = ("waiting", "ok", "not_ok")

# fmt: off
TASK_STAGE = Metric(
    "sedna_task_stage", "state", "Current stage of this worker.",
    labels=("task_stage",), proposal=("TaskStage",), states=STAGES)
STAGE_STATUS = Metric(
    "sedna_stage_status", "state", "Status of each stage that this worker has entered.",
    labels=("task_stage", "status"), proposal=("CurrentStatus",), states=STAGE_STATUSES)
ITERATION = Metric(
    "sedna_iteration", "gauge", "Current iteration; on a federated training worker its local round.",
    proposal=("IterationNo",), minimum=0)
ITERATION_INFERENCES = Metric(
    "sedna_iteration_inferences", "gauge", "Inferences in the current iteration; starts at 0 in each.",
    proposal=("IterationInferenceCount",))
ITERATION_HARD_SAMPLES = Metric(
    "sedna_iteration_hard_samples", "gauge", "Hard samples in the current iteration; starts at 0 in each.",
    proposal=("IterationHardSampleNum",))
TRAINING_SAMPLES = Metric(
    "sedna_training_samples", "gauge", "Number of training samples.", proposal=("TrainSampleNum",), minimum=0)
TRAINING_LOSS = Metric(
    "sedna_training_loss", "gauge", "Latest loss, or the last value of a history. NaN and infinite losses are kept.",
    proposal=("TrainLoss",), reduce="last")
NONFINITE_LOSSES = Metric("sedna_training_nonfinite_losses_total", "counter", "Losses that were NaN or infinite.")
TRAINING_REMAINING = Metric(
    "sedna_training_remaining_seconds", "gauge", "Estimated remaining time of training, as of its last progress.",
    proposal=("TrainRemainingTime",), minimum=0)
TRAINING_COMPLETION = Metric(
    "sedna_training_estimated_completion_timestamp_seconds", "gauge",
    "Unix time when training should end; if it is in the past, the worker hangs.", minimum=0)
TRAINING_EPOCH = Metric(
    "sedna_training_epoch", "gauge", "Current epoch, or the last finished one, counted from 1.", minimum=0)
TRAINING_EPOCHS = Metric("sedna_training_epochs", "gauge", "Number of epochs planned.", minimum=0)
STEP_DURATION = Metric(
    "sedna_training_step_duration_seconds", "histogram", "Duration of training steps.",
    buckets=STEP_BUCKETS)
TRAINING_OUTPUT_MODEL = Metric(
    "sedna_training_output_model_info", "info", "URL of the latest trained model, without credentials and query.",
    labels=("url",), proposal=("TrainOutputModelUrl",))
EVAL_SAMPLES = Metric(
    "sedna_eval_samples", "gauge", "Number of evaluation samples.", proposal=("EvalSampleNum",), minimum=0)
EVAL_REMAINING = Metric(
    "sedna_eval_remaining_seconds", "gauge", "Estimated remaining time of evaluation, as of its last progress.",
    proposal=("EvalRemainingTime",), minimum=0)
EVAL_COMPLETION = Metric(
    "sedna_eval_estimated_completion_timestamp_seconds", "gauge",
    "Unix time when evaluation should end; if it is in the past, the worker hangs.", minimum=0)
EVAL_NEW_MODEL = Metric(
    "sedna_eval_new_model_info", "info", "URL of the latest evaluated new model, without credentials and query.",
    labels=("url",), proposal=("EvalNewModelUrl",))
EVAL_SCORE = Metric(
    "sedna_eval_score", "gauge",
    "Score of the new or the old model in the latest evaluation; the mean of scores by class.",
    labels=("model", "metric"), proposal=("AccuracyMetricForNewModel", "AccuracyMetricForOldModel"), reduce="mean")
DEPLOY_MODEL = Metric(
    "sedna_deploy_model_info", "info", "URL of the latest deployed model, without credentials and query.",
    labels=("url",), proposal=("DeployModelUrl",))
DEPLOY_STATUS = Metric(
    "sedna_deploy_status", "state", "Result of the latest deployment.",
    labels=("status",), proposal=("DeployStatus",), states=DEPLOY_STATUSES)
KNOWN_TASKS = Metric(
    "sedna_known_tasks", "gauge", "Number of tasks in the knowledge base (lifelong learning).", minimum=0)
TASK_SAMPLES = Metric(
    "sedna_task_samples", "gauge", "Number of samples of the tasks in the knowledge base (lifelong learning).",
    minimum=0)
# fmt: on
