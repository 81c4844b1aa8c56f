"""Joint inference: little model at the edge, big model in the cloud."""

from __future__ import annotations

from sedna_metrics.catalogue import inference
from stackgen.dashboards import _inference
from stackgen.dashboards._board import board
from stackgen.dashboards._panels import lines, numbers, spread
from stackgen.dashboards._queries import RESOURCE, buckets, quantile, rate, total
from stackgen.dashboards._resource import condition

_SERVING = [
    numbers(
        "Served inferences",
        "Inferences that cloud workers finished for edge workers since they started.",
        {"served": total(inference.SERVED)},
    ),
    numbers(
        "Serving errors",
        "Failed inferences for edge workers since the cloud workers started.",
        {"failed": total(inference.SERVED_ERRORS)},
    ),
    lines(
        "Answered and served",
        "Cloud inferences that edge workers got, and those that cloud workers finished. If served is higher, answers "
        "are lost or requested again.",
        {
            "answered": rate(inference.INFERENCES, location="cloud"),
            "served": rate(inference.SERVED),
            "failed": rate(inference.SERVED_ERRORS),
        },
        "reqps",
        span=8,
    ),
    lines(
        "Serving duration",
        "Duration in the cloud worker, without the network.",
        {f"{{{{task}}}} p{q}": quantile(q / 100, inference.SERVED_DURATION, "task") for q in (50, 95, 99)},
        "s",
        span=8,
    ),
    spread(
        "Serving duration distribution", "Number of served inferences by duration.", buckets(inference.SERVED_DURATION)
    ),
    condition("JointInferenceService", span=12),
    lines(
        "Reported by the Local Controller",
        "Sedna's own numbers of the service. They count a hard sample twice.",
        {"{{name}} {{metric}}": f"sedna_joint_inference_service_reported{{{RESOURCE}}}"},
    ),
]

BOARD = board(
    "sedna-joint-inference",
    "Joint inference",
    "Edge and cloud inferences, hard samples, latency, cloud workers.",
    {**_inference.counts(), "Cloud worker and service": _SERVING},
    tasks_from=f'{inference.SAMPLES.name}{{namespace=~"$namespace"}}',
)
