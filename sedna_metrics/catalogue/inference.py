"""Metrics of inference: joint inference, multi-edge inference, incremental and lifelong learning."""

from __future__ import annotations

from sedna_metrics.catalogue._metric import CallGroup, Metric

LOCATIONS = ("edge", "cloud")

# fmt: off
INFERENCES = Metric(
    "sedna_inferences_total", "counter", "Finished inferences by location, counted by the worker whose sample it is.",
    labels=("location",), proposal=("EdgeInferenceCount", "CloudInferenceCount"))
HARD_SAMPLES = Metric(
    "sedna_hard_samples_total", "counter",
    "Samples that the hard-example miner called hard, whether or not the cloud answered.",
    proposal=("HardSampleNum",))
SAMPLES = Metric(
    "sedna_inference_samples_total", "counter",
    "Samples of the task: the denominator of the hard and upload ratios.")
ERRORS = Metric(
    "sedna_inference_errors_total", "counter",
    "Failed inferences by location; sedna_inferences_total excludes them.", labels=("location",))
DURATION = Metric(
    "sedna_inference_duration_seconds", "histogram", "Duration of finished inferences by location.",
    labels=("location",))
IN_PROGRESS = Metric(
    "sedna_inferences_in_progress", "gauge", "Inferences in progress by location.", labels=("location",))
UNSEEN_SAMPLES = Metric(
    "sedna_unseen_samples_total", "counter", "Samples of tasks that are not in the knowledge base (lifelong learning).")
SERVED = Metric(
    "sedna_served_inferences_total", "counter", "Finished inferences for other workers.")
SERVED_ERRORS = Metric(
    "sedna_served_inference_errors_total", "counter", "Failed inferences for other workers.")
SERVED_DURATION = Metric(
    "sedna_served_inference_duration_seconds", "histogram", "Duration of finished inferences for other workers.")
# fmt: on
INFERENCE_CALLS = CallGroup(DURATION, INFERENCES, ERRORS, IN_PROGRESS)
SERVED_CALLS = CallGroup(SERVED_DURATION, SERVED, SERVED_ERRORS)
