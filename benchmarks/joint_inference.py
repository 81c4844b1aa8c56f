"""What observation adds to one ``JointInference.inference`` call: ``python benchmarks/joint_inference.py``.

Sedna's class is stood in for by one that does nothing but what the mode needs, so that what is left is ours. For
comparison: what the decorator adds to a function that does nothing.
"""

from __future__ import annotations

import sys
import timeit
from pathlib import Path
from typing import Any, Callable

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "sedna_standin"))


class Estimator:
    def predict(self, data: Any, **kwargs: Any) -> Any:
        return data


def nanoseconds(call: Callable[[], object], number: int = 100_000) -> float:
    """The time of one call: the best of nine runs, since everything else on the machine only ever adds to it."""
    return min(timeit.repeat(call, number=number, repeat=9)) / number * 1e9


def main() -> None:
    """Measure, and print."""
    from sedna.core.joint_inference.joint_inference import JointInference

    job = JointInference(Estimator())
    plain = nanoseconds(lambda: job.inference(1))
    worker = sedna_metrics.start(export="off", log="off", environ={})

    def nothing(data: Any) -> Any:
        return data

    decorated = worker.joint_inference.edge_inference(nothing)
    bare, call = nanoseconds(lambda: nothing(1)), nanoseconds(lambda: decorated(1))
    with sedna_metrics.observe_sedna(worker):
        observed = nanoseconds(lambda: job.inference(1))
    worker.close()
    print(f"decorated call: {call:.0f} ns, of which the decorator {call - bare:.0f} ns")
    print(f"JointInference.inference: {plain:.0f} ns alone, {observed:.0f} ns observed")
    print(f"observation adds {observed - plain:.0f} ns, {(observed - plain) / call:.1f} times a decorated call")


if __name__ == "__main__":
    main()
