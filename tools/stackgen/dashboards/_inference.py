"""Rows about inference, as several kinds of tasks have them."""

from __future__ import annotations

from typing import Dict, Sequence

from sedna_metrics.catalogue import inference
from sedna_metrics.catalogue.inference import LOCATIONS
from stackgen.dashboards._panels import Built, lines, numbers, share, spread
from stackgen.dashboards._queries import buckets, increase, of, quantile, rate, ratio, total


def counts() -> Dict[str, Sequence[Built]]:
    """Counts since the workers started, rates and durations."""
    return {
        "Inference": [
            numbers(
                "EdgeInferenceCount",
                "Finished inferences at the edge since the workers started.",
                {"edge": total(inference.INFERENCES, location="edge")},
            ),
            numbers(
                "CloudInferenceCount",
                "Finished inferences in the cloud since the workers started.",
                {"cloud": total(inference.INFERENCES, location="cloud")},
            ),
            numbers(
                "HardSampleNum",
                "Samples that the hard-example miner called hard since the workers started.",
                {"hard": total(inference.HARD_SAMPLES)},
            ),
            numbers("Samples", "Samples since the workers started.", {"samples": total(inference.SAMPLES)}),
            numbers(
                "Errors",
                "Failed inferences since the workers started; the other counts exclude them.",
                {"{{location}}": total(inference.ERRORS, "location")},
            ),
            numbers(
                "In progress",
                "Inferences in progress now. One that hangs stays here.",
                {"{{location}}": total(inference.IN_PROGRESS, "location")},
            ),
            lines(
                "Inferences",
                "Finished inferences per second, by worker and location.",
                {"{{worker}} {{location}}": rate(inference.INFERENCES, "task, worker, location")},
                "reqps",
            ),
            lines(
                "Hard and uploaded samples",
                "Ratio of hard samples, and of samples that the cloud answered. If hard is above uploaded, the cloud "
                "does not answer all of them.",
                {
                    "{{task}} hard": ratio(inference.HARD_SAMPLES, inference.SAMPLES, "task"),
                    "{{task}} uploaded": ratio(inference.INFERENCES, inference.SAMPLES, "task", location="cloud"),
                },
                "percentunit",
                span=6,
            ),
            share(
                "Edge and cloud",
                "Finished inferences by location, in the time range of the dashboard.",
                {"{{location}}": increase(inference.INFERENCES, "location")},
            ),
        ],
        "Latency": [
            lines(
                "Inference duration",
                "50th, 95th and 99th percentile, by task and location.",
                {
                    f"{{{{task}}}} {{{{location}}}} p{q}": quantile(q / 100, inference.DURATION, "task, location")
                    for q in (50, 95, 99)
                },
                "s",
            ),
            lines(
                "Errors",
                "Failed inferences per second.",
                {"{{worker}} {{location}}": rate(inference.ERRORS, "task, worker, location")},
                "reqps",
                span=6,
            ),
            lines(
                "In progress",
                "Inferences in progress, by worker and location.",
                {"{{worker}} {{location}}": of(inference.IN_PROGRESS)},
                span=6,
            ),
            *(
                spread(
                    f"Duration distribution: {location}",
                    f"Number of {location} inferences by duration.",
                    buckets(inference.DURATION, location=location),
                )
                for location in LOCATIONS
            ),
        ],
    }
