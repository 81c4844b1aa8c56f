"""What observation adds to one ``JointInference.inference`` call, beside a decorated call."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, List

import peers
from harness import Row, compare, per_call

import sedna_metrics

STANDIN = Path(__file__).resolve().parent.parent / "sedna_standin"


class Estimator:
    def predict(self, data: Any, **kwargs: Any) -> Any:
        return data


def nothing() -> None: ...


def joint_inference(rounds: int, number: int) -> List[Row]:
    """Sedna's class is stood in for by one that does next to nothing, so that what is left is ours."""
    sys.path.insert(0, str(STANDIN))
    from sedna.core.joint_inference.joint_inference import JointInference

    class Plain(JointInference):  # type: ignore[misc]
        """Keeps what is observed below."""

        inference = JointInference.inference
        _get_edge_result = JointInference._get_edge_result

    with peers.worker() as worker, sedna_metrics.observe_sedna(worker):
        plain, observed = Plain(Estimator()), JointInference(Estimator())
        decorated = worker.joint_inference.edge_inference(nothing)
        without = per_call(lambda: plain.inference(1), number)
        with_ = per_call(lambda: observed.inference(1), number)
        rows = compare(
            "JointInference.inference", {"observed": with_, "as it is": without}, "observed", {"as it is": None}, rounds
        )
        rows += compare(
            "what observation adds to it",
            {"added": lambda: with_() - without(), "decorated call": per_call(decorated, number)},
            "added",
            {"decorated call": None},
            rounds,
        )
    sys.path.remove(str(STANDIN))
    return rows
