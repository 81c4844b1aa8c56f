"""Fair comparison on a noisy machine: rounds in which every variant runs once; only ratios of one round count."""

from __future__ import annotations

import random
import statistics
from time import perf_counter
from typing import Callable, Dict, List, NamedTuple, Optional

Variants = Dict[str, Callable[[], float]]


class Row(NamedTuple):
    """One line of the table."""

    what: str
    variant: str
    cost: str
    ratio: Optional[float]
    """Of the variant to the one it is compared with; ``None`` where there is nothing to compare."""
    against: str
    target: Optional[float]

    @property
    def is_met(self) -> bool:
        """Whether the target, if there is one, is met."""
        return self.target is None or (self.ratio is not None and self.ratio <= self.target)


def interleave(variants: Variants, rounds: int) -> Dict[str, List[float]]:
    """What each variant gives in each round; the order within a round changes, and the first round is not counted."""
    results: Dict[str, List[float]] = {name: [] for name in variants}
    order = list(variants)
    chance = random.Random(1)
    for round_ in range(rounds + 1):
        chance.shuffle(order)
        for name in order:
            cost = variants[name]()
            if round_:
                results[name].append(cost)
    return results


def compare(
    what: str, variants: Variants, ours: str, targets: Dict[str, Optional[float]], rounds: int, unit: str = "ns"
) -> List[Row]:
    """One row for each peer: the median cost of both, and the median of the ratios by round."""
    results = interleave(variants, rounds)
    own = statistics.median(results[ours])
    rows = [Row(what, ours, show(own, unit), None, "", None)]
    for peer, target in targets.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(results[ours], results[peer]))
        rows.append(Row("", peer, show(statistics.median(results[peer]), unit), ratio, peer, target))
    return rows


def per_call(function: Callable[[], object], calls: int) -> Callable[[], float]:
    """A variant: nanoseconds for each call of ``function``, loop included."""

    def measure() -> float:
        loop = range(calls)
        began = perf_counter()
        for _ in loop:
            function()
        return (perf_counter() - began) / calls * 1e9

    return measure


def per_call_with(function: Callable[[float], object], value: float, calls: int) -> Callable[[], float]:
    """As :func:`per_call`, for a function of one argument."""

    def measure() -> float:
        loop = range(calls)
        began = perf_counter()
        for _ in loop:
            function(value)
        return (perf_counter() - began) / calls * 1e9

    return measure


def show(value: float, unit: str) -> str:
    """A cost for people."""
    if unit == "ns" and value >= 1e6:
        return f"{value / 1e6:.1f} ms"
    if unit == "ns" and value >= 1e4:
        return f"{value / 1e3:.1f} us"
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.2f} {unit}"
