"""Declaration of a metric."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

COMMON_LABELS = ("task", "worker")
"""The labels on every series, set once by the worker's identity."""

OTHER = "other"
"""The label value that stands for all label sets above MAX_SERIES."""

SLOW_BUCKETS: Tuple[float, ...] = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
"""For work of seconds to hours, such as a round of aggregation: 1 s to 4 h."""

STEP_BUCKETS: Tuple[float, ...] = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800)
"""For training steps: batches take milliseconds on a GPU, minutes on an edge CPU; a boosting round is one, too."""


class Metric(NamedTuple):
    """One metric of the contract.

    ``form`` is ``counter``, ``gauge``, ``histogram``; ``info``, a gauge that is always 1 and whose labels are the
    information; or ``state``, one 0/1 gauge for each of ``states``, of which exactly one is 1, with the state in the
    last label.
    """

    name: str
    form: str
    description: str
    labels: Tuple[str, ...] = ()
    proposal: Tuple[str, ...] = ()
    """Its names in Sedna's observability proposal."""
    states: Tuple[str, ...] = ()
    minimum: float = float("-inf")
    """Lowest valid value; with one, NaN is invalid, too."""
    buckets: Tuple[float, ...] = ()
    """Upper bounds in seconds of a histogram that does not take the BUCKETS setting."""
    reduce: str = ""
    """Which value of a list counts: the ``last`` (of a history) or the ``mean`` (of scores by class)."""

    @property
    def type(self) -> str:
        """Its type for Prometheus: counter, gauge or histogram."""
        return "gauge" if self.form in ("info", "state") else self.form

    @property
    def state_label(self) -> str:
        return self.labels[-1] if self.form == "state" else ""

    @property
    def series_labels(self) -> Tuple[str, ...]:
        """The labels that tell its series apart; those of an info, and the state's, are the value."""
        return {"info": (), "state": self.labels[:-1]}.get(self.form, self.labels)

    @property
    def unit(self) -> str:
        return "seconds" if self.name.endswith("_seconds") else ""

    @property
    def help(self) -> str:
        """The HELP text, which begins with the proposal's names."""
        return f"{', '.join(self.proposal)}: {self.description}" if self.proposal else self.description


class CallGroup(NamedTuple):
    """The metrics of one kind of call, which are all read from the same durations."""

    duration: Metric
    finished: Metric
    failed: Metric
    in_progress: Optional[Metric] = None
