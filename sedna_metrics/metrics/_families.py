"""Families: all series of one catalogue entry, as a scrape reads them.

What does not change of a line (name, labels, escaping) is put together when the series is made.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple, TypeVar

from sedna_metrics.catalogue import OTHER, Metric
from sedna_metrics.metrics._text import format_labels, format_value, label_value
from sedna_metrics.metrics._values import CallHistogram, Info, State

Labels = Dict[str, str]
T = TypeVar("T")


Point = Tuple[str, str, Labels]
"""What does not change of a sample: the beginning of its line in the text format, its name, its labels."""
Reader = Callable[[], Iterator[Tuple[Point, float]]]


class Family:
    """The series of one metric. Label sets above ``limit`` share one whose own labels are all :data:`OTHER`."""

    def __init__(
        self, metric: Metric, constant: Mapping[str, str], limit: int, on_overflow: Callable[[], None]
    ) -> None:
        self.metric = metric
        self._constant = dict(constant)
        self._limit = limit
        self._on_overflow = on_overflow
        self._series: Dict[Tuple[str, ...], Tuple[Any, Reader]] = {}
        self._label_names = metric.series_labels

    def series(self) -> Mapping[Tuple[str, ...], Any]:
        """The series by the values of their own labels, in the order of ``metric.series_labels``."""
        return {labels: series for labels, (series, _) in self._series.copy().items()}

    def get_or_create(self, make: Callable[[], T], labels: Mapping[str, str]) -> T:
        """The series of a label set, whose names must be those of the catalogue."""
        if set(labels) != set(self._label_names):
            raise ValueError(f"{self.metric.name} has the labels {self._label_names}, not {tuple(labels)}")
        key = tuple(label_value(labels[name]) for name in self._label_names)
        if key not in self._series:
            if key and len(self._series) >= self._limit:  # threads that come here together may go beyond it
                self._on_overflow()
                key = (OTHER,) * len(key)
            made = make()
            reader = self._reader(made, {**self._constant, **dict(zip(self._label_names, key))})
            # One step: whoever comes second, such as another thread or a signal handler, gets what the first made.
            self._series.setdefault(key, (made, reader))
        series: T = self._series[key][0]
        return series

    def points(self) -> Iterator[Tuple[Point, float]]:
        for _, read in list(self._series.values()):
            yield from read()

    def lines(self) -> List[str]:
        """Every sample as a line of the text format."""
        return [f"{prefix}{format_value(value)}\n" for (prefix, _, _), value in self.points()]

    def _reader(self, series: Any, labels: Labels) -> Reader:
        if isinstance(series, CallHistogram):
            return self._histogram_reader(series, labels)
        if isinstance(series, State):
            return self._state_reader(series, labels)
        if isinstance(series, Info):
            return lambda: ((self._point({**labels, **label_set}), 1.0) for label_set in series.label_sets)
        point, value_of = self._point(labels), getattr(series, "value", series)

        def read() -> Iterator[Tuple[Point, float]]:
            value = value_of()
            if value is not None:
                yield point, value

        return read

    def _histogram_reader(self, series: CallHistogram, labels: Labels) -> Reader:
        bounds = [format_value(float(bound)) for bound in (*series.bounds, float("inf"))]
        buckets = [self._point({**labels, "le": bound}, "_bucket") for bound in bounds]
        count, total = self._point(labels, "_count"), self._point(labels, "_sum")

        def read() -> Iterator[Tuple[Point, float]]:
            counts, seconds = series.histogram()
            cumulated = 0
            for bucket, number in zip(buckets, counts):
                cumulated += number
                yield bucket, float(cumulated)
            yield count, float(cumulated)
            yield total, seconds

        return read

    def _state_reader(self, series: State, labels: Labels) -> Reader:
        points = [self._point({**labels, self.metric.state_label: state}) for state in series.states]

        def read() -> Iterator[Tuple[Point, float]]:
            current = series.current
            if current is not None:
                for state, point in zip(series.states, points):
                    yield point, float(state == current)

        return read

    def _point(self, labels: Labels, suffix: str = "") -> Point:
        name = self.metric.name + suffix
        return f"{name}{format_labels(labels)} ", name, labels
