"""Families: all series of one catalogue entry, as a scrape reads them.

A family knows two ways to be read: ``points()`` for prometheus_client and ``write()`` for our own text, in which
all that does not change (name, labels, escaping) was put together when the series was made.
"""

from __future__ import annotations

import threading
from typing import Callable, Dict, Generic, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

from sedna_metrics.catalogue import OTHER, Metric
from sedna_metrics.metrics._text import format_bound, format_labels, format_value, label_value
from sedna_metrics.metrics._values import CallHistogram, Info, State

Labels = Dict[str, str]
Read = Callable[[], Optional[float]]
C = TypeVar("C")


class Point(NamedTuple):
    """One sample: what a line of the exposition says."""

    name: str
    labels: Labels
    value: float


class Family(Generic[C]):
    """The series of one metric.

    Args:
        metric: the catalogue entry.
        constant: the labels on every series.
        limit: most label sets; further ones share one whose own labels are all :data:`OTHER`.
        on_overflow: called for each request of a further label set.
    """

    def __init__(
        self, metric: Metric, constant: Mapping[str, str], limit: int, on_overflow: Callable[[], None]
    ) -> None:
        self.metric = metric
        self._constant = dict(constant)
        self._limit = limit
        self._on_overflow = on_overflow
        self._lock = threading.RLock()  # a signal handler may ask for a series while one is being made
        self._by_labels: Dict[Tuple[str, ...], C] = {}
        self.label_names = tuple(name for name in metric.labels if name != metric.state_label)

    def series(self) -> Mapping[Tuple[str, ...], C]:
        """The series by the values of their own labels, in the order of :attr:`label_names`."""
        return self._by_labels.copy()

    def renew_locks(self) -> None:
        """In a forked child: replace the locks, which threads of the parent may have held."""
        self._lock = threading.RLock()
        for each in self.series().values():
            if hasattr(each, "renew_lock"):
                each.renew_lock()

    def get_or_create(self, make: Callable[[], C], labels: Mapping[str, str]) -> C:
        """The series of a label set.

        Raises:
            ValueError: the label names are not those of the catalogue.
        """
        if set(labels) != set(self.label_names):
            raise ValueError(f"{self.metric.name} has the labels {self.label_names}, not {tuple(labels)}")
        key = tuple(label_value(labels[name]) for name in self.label_names)
        series = self._by_labels.get(key)
        if series is not None:
            return series
        with self._lock:
            if key and key not in self._by_labels and len(self._by_labels) >= self._limit:
                self._on_overflow()
                key = (OTHER,) * len(key)
            made = make()
            # One step: whoever comes second, a signal handler in the same thread too, takes what the first made.
            series = self._by_labels.setdefault(key, made)
            if series is made:
                self._bind(series, {**self._constant, **dict(zip(self.label_names, key))})
            return series

    def _bind(self, cell: C, labels: Labels) -> None:
        raise NotImplementedError

    def points(self) -> Iterator[Point]:
        """Every sample, at its value of now."""
        raise NotImplementedError

    def write(self, lines: List[str]) -> None:
        """Append every sample as a line of the text format."""
        raise NotImplementedError


class ScalarFamily(Family[C]):
    """Counters and gauges: one number a series."""

    def __init__(
        self, metric: Metric, constant: Mapping[str, str], limit: int, on_overflow: Callable[[], None]
    ) -> None:
        super().__init__(metric, constant, limit, on_overflow)
        self._series: List[Tuple[str, Labels, Read]] = []

    def _bind(self, cell: C, labels: Labels) -> None:
        read: Read = cell if callable(cell) else cell.value  # type: ignore[attr-defined]
        self._series.append((f"{self.metric.name}{format_labels(labels)} ", labels, read))

    def points(self) -> Iterator[Point]:
        for _, labels, read in list(self._series):
            value = read()
            if value is not None:
                yield Point(self.metric.name, labels, value)

    def write(self, lines: List[str]) -> None:
        for prefix, _, read in list(self._series):
            value = read()
            if value is not None:
                lines.append(f"{prefix}{format_value(value)}\n")


class HistogramFamily(Family[CallHistogram]):
    """Histograms: buckets, count and sum of one moment."""

    def __init__(
        self,
        metric: Metric,
        constant: Mapping[str, str],
        limit: int,
        on_overflow: Callable[[], None],
        bounds: Sequence[float] = (),
    ) -> None:
        super().__init__(metric, constant, limit, on_overflow)
        self._bounds = [format_bound(bound) for bound in (*bounds, float("inf"))]
        self._series: List[Tuple[List[str], Labels, CallHistogram]] = []

    def _bind(self, cell: CallHistogram, labels: Labels) -> None:
        name, plain = self.metric.name, format_labels(labels)
        prefixes = [f"{name}_bucket{format_labels({**labels, 'le': bound})} " for bound in self._bounds]
        self._series.append(([*prefixes, f"{name}_count{plain} ", f"{name}_sum{plain} "], labels, cell))

    def points(self) -> Iterator[Point]:
        name = self.metric.name
        for _, labels, cell in list(self._series):
            counts, total = cell.histogram()
            cumulated = 0
            for bound, count in zip(self._bounds, counts):
                cumulated += count
                yield Point(f"{name}_bucket", {**labels, "le": bound}, float(cumulated))
            yield Point(f"{name}_count", labels, float(cumulated))
            yield Point(f"{name}_sum", labels, total)

    def write(self, lines: List[str]) -> None:
        for prefixes, _, cell in list(self._series):
            counts, total = cell.histogram()
            cumulated = 0
            for prefix, count in zip(prefixes, counts):
                cumulated += count
                lines.append(f"{prefix}{format_value(float(cumulated))}\n")
            lines.append(f"{prefixes[-2]}{format_value(float(cumulated))}\n")
            lines.append(f"{prefixes[-1]}{format_value(total)}\n")


class StateFamily(Family[State]):
    """States: one 0/1 series for each, of which exactly one is 1; none before the first state is set."""

    def __init__(
        self, metric: Metric, constant: Mapping[str, str], limit: int, on_overflow: Callable[[], None]
    ) -> None:
        super().__init__(metric, constant, limit, on_overflow)
        self._series: List[Tuple[List[Tuple[str, str, Labels]], State]] = []

    def _bind(self, cell: State, labels: Labels) -> None:
        rows = []
        for state in cell.states:
            with_state = {**labels, self.metric.state_label: state}
            rows.append((state, f"{self.metric.name}{format_labels(with_state)} ", with_state))
        self._series.append((rows, cell))

    def points(self) -> Iterator[Point]:
        for rows, cell in list(self._series):
            current = cell.current
            if current is not None:
                for state, _, labels in rows:
                    yield Point(self.metric.name, labels, float(state == current))

    def write(self, lines: List[str]) -> None:
        for rows, cell in list(self._series):
            current = cell.current
            if current is not None:
                lines.extend(f"{prefix}{'1.0' if state == current else '0.0'}\n" for state, prefix, _ in rows)


class InfoFamily(Family[Info]):
    """Information: series that are always 1, whose labels change."""

    def __init__(
        self, metric: Metric, constant: Mapping[str, str], limit: int, on_overflow: Callable[[], None]
    ) -> None:
        super().__init__(metric, constant, limit, on_overflow)
        # What changes on an info series is its labels, so the family holds one cell, not one for each label set.
        self.label_names = ()
        self._cell: Optional[Info] = None

    def _bind(self, cell: Info, labels: Labels) -> None:
        self._series = cell

    def points(self) -> Iterator[Point]:
        if self._cell is not None:
            for label_set in self._cell.label_sets:
                yield Point(self.metric.name, {**self._constant, **label_set}, 1.0)

    def write(self, lines: List[str]) -> None:
        lines.extend(f"{name}{format_labels(labels)} 1.0\n" for name, labels, _ in self.points())
