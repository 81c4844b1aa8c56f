"""Rows about inference, as several kinds of tasks have them."""

from __future__ import annotations

from typing import Dict, Sequence

from sedna_metrics.catalogue import inference
from sedna_metrics.catalogue.inference import LOCATIONS
from stackgen.dashboards._panels import Built, lines, numbers, share, spread
from stackgen.dashboards._queries import buckets, increase, of, quantile, rate, ratio, total


def counts() -> Dict[str, Sequence[Built]]:
    """What was counted since the workers started, and how fast."""
    return {
        "Inference": [
            numbers(
                "EdgeInferenceCount",
                "Inferences that finished at the edge, since the workers started.",
                {"edge": total(inference.INFERENCES, location="edge")},
            ),
            numbers(
                "CloudInferenceCount",
                "Inferences that finished in the cloud, since the workers started.",
                {"cloud": total(inference.INFERENCES, location="cloud")},
            ),
            numbers(
                "HardSampleNum",
                "Samples that the hard-example miner called hard, since the workers started.",
                {"hard": total(inference.HARD_SAMPLES)},
            ),
            numbers(
                "Samples", "Samples put to the task, since the workers started.", {"samples": total(inference.SAMPLES)}
            ),
            numbers(
                "Errors",
                "Inferences that raised, since the workers started; they are in none of the other counts.",
                {"{{location}}": total(inference.ERRORS, "location")},
            ),
            numbers(
                "Under way",
                "Inferences under way now. One that hangs stays here.",
                {"{{location}}": total(inference.IN_PROGRESS, "location")},
            ),
            lines(
                "Inferences",
                "Inferences that finish, a second, by worker and where.",
                {"{{worker}} {{location}}": rate(inference.INFERENCES, "task, worker, location")},
                "reqps",
            ),
            lines(
                "Hard and uploaded samples",
                "Part of the samples that is called hard, and that the cloud answers. Hard samples above uploads: the "
                "cloud does not answer them all.",
                {
                    "{{task}} hard": ratio(inference.HARD_SAMPLES, inference.SAMPLES, "task"),
                    "{{task}} uploaded": ratio(inference.INFERENCES, inference.SAMPLES, "task", location="cloud"),
                },
                "percentunit",
                span=6,
            ),
            share(
                "Edge and cloud",
                "Where the inferences of the time shown finished.",
                {"{{location}}": increase(inference.INFERENCES, "location")},
            ),
        ],
        "Latency": [
            lines(
                "Duration of inferences",
                "Half of the inferences, and 95 and 99 of 100, took no longer than this.",
                {f"{{{{location}}}} p{q}": quantile(q / 100, inference.DURATION, "location") for q in (50, 95, 99)},
                "s",
            ),
            lines(
                "Errors",
                "Inferences that raise, a second.",
                {"{{worker}} {{location}}": rate(inference.ERRORS, "task, worker, location")},
                "reqps",
                span=6,
            ),
            lines(
                "Under way",
                "Inferences under way, by where.",
                {"{{worker}} {{location}}": of(inference.IN_PROGRESS)},
                span=6,
            ),
            *(
                spread(
                    f"Spread: {location}",
                    f"How long inferences take whose location is {location}.",
                    buckets(inference.DURATION, location=location),
                )
                for location in LOCATIONS
            ),
        ],
    }
