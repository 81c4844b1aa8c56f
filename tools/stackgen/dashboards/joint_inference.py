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
        "Served",
        "Inferences that cloud workers did for edge workers, since they started.",
        {"served": total(inference.SERVED)},
    ),
    numbers(
        "Failed while serving",
        "Inferences for others that raised, since the cloud workers started.",
        {"failed": total(inference.SERVED_ERRORS)},
    ),
    lines(
        "Asked and served",
        "What edge workers got from the cloud, and what cloud workers did. More of the second: answers are lost "
        "on their way, or asked for again.",
        {
            "asked": rate(inference.INFERENCES, location="cloud"),
            "served": rate(inference.SERVED),
            "failed": rate(inference.SERVED_ERRORS),
        },
        "reqps",
        span=8,
    ),
    lines(
        "Duration in the cloud worker",
        "Without the network: subtract it from the cloud's duration above to see the link.",
        {f"p{q}": quantile(q / 100, inference.SERVED_DURATION) for q in (50, 95, 99)},
        "s",
        span=8,
    ),
    spread("Spread in the cloud worker", "How long served inferences take.", buckets(inference.SERVED_DURATION)),
    condition("JointInferenceService", span=12),
    lines(
        "Reported by the Local Controller",
        "Sedna's own numbers of the service. They count a hard sample twice: compare, do not rely on them.",
        {"{{name}} {{metric}}": f"sedna_joint_inference_service_reported{{{RESOURCE}}}"},
    ),
]

BOARD = board(
    "sedna-joint-inference",
    "Joint inference",
    "Edge and cloud inferences, hard samples, latency, and what the cloud workers serve.",
    {**_inference.counts(), "Cloud worker and service": _SERVING},
    tasks_from=f'{inference.SAMPLES.name}{{namespace=~"$namespace"}}',
)
