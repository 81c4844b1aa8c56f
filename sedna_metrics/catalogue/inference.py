"""Metrics of inference: joint inference, and the inference workers of incremental and lifelong learning."""

from __future__ import annotations

from typing import Tuple

from sedna_metrics.catalogue._metric import CallGroup, Metric

LOCATIONS = ("edge", "cloud")

INFERENCES = Metric(
    "sedna_inferences_total",
    "counter",
    "Inferences that finished, by where; counted by the worker whose sample it is.",
    labels=("location",),
    proposal=("EdgeInferenceCount", "CloudInferenceCount"),
)
HARD_SAMPLES = Metric(
    "sedna_hard_samples_total",
    "counter",
    "Samples that the hard-example miner called hard, whether or not the cloud answered.",
    proposal=("HardSampleNum",),
)
SAMPLES = Metric(
    "sedna_inference_samples_total",
    "counter",
    "Samples put to the task: the denominator of the hard and upload ratios.",
)
ERRORS = Metric(
    "sedna_inference_errors_total",
    "counter",
    "Inferences that raised, by where; these are not in sedna_inferences_total.",
    labels=("location",),
)
DURATION = Metric(
    "sedna_inference_duration_seconds",
    "histogram",
    "Time that finished inferences took, by where.",
    labels=("location",),
    unit="seconds",
)
IN_PROGRESS = Metric("sedna_inferences_in_progress", "gauge", "Inferences under way, by where.", labels=("location",))
UNSEEN_SAMPLES = Metric(
    "sedna_unseen_samples_total",
    "counter",
    "Samples of tasks that the knowledge base has not seen (lifelong learning).",
)
SERVED = Metric("sedna_served_inferences_total", "counter", "Inferences that this worker did for others and finished.")
SERVED_ERRORS = Metric(
    "sedna_served_inference_errors_total", "counter", "Inferences that this worker did for others and that raised."
)
SERVED_DURATION = Metric(
    "sedna_served_inference_duration_seconds",
    "histogram",
    "Time that finished inferences for others took.",
    unit="seconds",
)

METRICS: Tuple[Metric, ...] = (
    INFERENCES,
    HARD_SAMPLES,
    SAMPLES,
    ERRORS,
    DURATION,
    IN_PROGRESS,
    UNSEEN_SAMPLES,
    SERVED,
    SERVED_ERRORS,
    SERVED_DURATION,
)

INFERENCE_CALLS = CallGroup(DURATION, INFERENCES, ERRORS, IN_PROGRESS)
SERVED_CALLS = CallGroup(SERVED_DURATION, SERVED, SERVED_ERRORS)
