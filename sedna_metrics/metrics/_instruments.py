"""All live series of one worker, and the collector that shows them to prometheus_client."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from prometheus_client.metrics_core import Metric as ClientMetric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from sedna_metrics import catalogue
from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.catalogue import CallGroup, Metric
from sedna_metrics.metrics._families import Family
from sedna_metrics.metrics._text import format_header
from sedna_metrics.metrics._values import CallHistogram, Counter, Gauge, Info, State, last_of, mean_of, to_float

_CONVERT = {"": to_float, "last": last_of, "mean": mean_of}
_ORDER = {metric.name: position for position, metric in enumerate(catalogue.ALL)}


class Instruments(Collector):
    """The metrics of catalogue entries, each made at its first use, and the collector that exposes them.

    Counters and histograms have a series from then on, gauges and states once they are set.
    """

    def __init__(
        self,
        constant_labels: Mapping[str, str],
        bounds: Sequence[float],
        max_series: int,
        boundary: Optional[ErrorBoundary] = None,
    ) -> None:
        self._constant = dict(constant_labels)
        self._bounds = tuple(bounds)
        self._max_series = max_series
        self._boundary = boundary or ErrorBoundary()
        self._by_name: Dict[str, Family] = {}
        self.internal: Dict[str, Counter] = {}
        self._dropped = self.counter(catalogue.library.DROPPED_LABEL_SETS)

    @property
    def families(self) -> List[Family]:
        """The families in use, in the catalogue's order."""
        return sorted(self._by_name.copy().values(), key=lambda each: _ORDER.get(each.metric.name, len(_ORDER)))

    def counter(self, entry: Metric, **labels: str) -> Counter:
        return self._family(entry, "counter").get_or_create(lambda: Counter(self._rejecter(entry)), labels)

    def internal_counter(self, entry: Metric) -> Counter:
        """A counter that :meth:`callback` series of ``entry`` can be made of."""
        return self.internal.setdefault(entry.name, Counter(self._rejecter(entry)))

    def gauge(self, entry: Metric, on_nonfinite: Optional[Callable[[], None]] = None, **labels: str) -> Gauge:
        """The gauge of this label set; ``on_nonfinite`` is called for each NaN or infinity."""

        def make() -> Gauge:
            return Gauge(self._rejecter(entry), entry.minimum, _CONVERT[entry.reduce], on_nonfinite)

        return self._family(entry, "gauge").get_or_create(make, labels)

    def state(self, entry: Metric, **labels: str) -> State:
        """The state of this label set (the state's own label aside)."""
        return self._family(entry, "state").get_or_create(lambda: State(entry.states, self._rejecter(entry)), labels)

    def info(self, entry: Metric) -> Info:
        return self._family(entry, "info").get_or_create(lambda: Info(self._max_series, self._overflow), {})

    def call_histogram(self, entry: Metric, **labels: str) -> CallHistogram:
        """The durations of this label set, shown as a histogram; :meth:`callback` series can be made of them."""
        return self._family(entry, "histogram").get_or_create(
            lambda: CallHistogram(self.bounds(entry), self._rejecter(entry)), labels
        )

    def bounds(self, entry: Metric) -> Sequence[float]:
        return entry.buckets or self._bounds

    def calls(self, group: CallGroup, **labels: str) -> CallHistogram:
        """The calls of this label set: their durations, and the group's counters and gauge that read from them."""
        calls = self.call_histogram(group.duration, **labels)
        self.callback(group.finished, calls.finished, **labels)
        self.callback(group.failed, calls.failed, **labels)
        if group.in_progress is not None:
            self.callback(group.in_progress, calls.in_progress, **labels)
        return calls

    def callback(self, entry: Metric, read: Callable[[], Optional[float]], **labels: str) -> None:
        """Expose what ``read`` returns as a counter or gauge; ``None`` exposes nothing."""
        self._family(entry, entry.form).get_or_create(lambda: read, labels)

    def collect(self) -> Iterator[OurMetric]:
        """Every family, for prometheus_client; samples are made when they are read."""
        for family in self.families:
            if any(True for _ in family.points()):
                yield OurMetric(family)

    def describe(self) -> Iterator[OurMetric]:
        """All names of the catalogue, so that a registry sees a conflict when we are registered, not later."""
        for metric in catalogue.ALL:
            yield OurMetric(Family(metric, {}, 0, lambda: None))

    def render(self) -> str:
        """Every family in the text format, the same bytes as ``generate_latest`` of this collector."""
        text: List[str] = []
        for family in self.families:
            lines, metric = family.lines(), family.metric
            if lines:
                text += (format_header(metric.name, metric.type, metric.help), *lines)
        return "".join(text)

    def _family(self, metric: Metric, form: str) -> Family:
        if metric.form != form:
            raise TypeError(f"{metric.name} is a {metric.form}, not a {form}")
        family = self._by_name.get(metric.name)
        if family is None:
            made = Family(metric, self._constant, self._max_series, self._overflow)
            family = self._by_name.setdefault(metric.name, made)  # one step, as in Family.get_or_create()
        return family

    def renew_locks(self) -> None:
        """In a forked child: replace locks, which threads of the parent may have held."""
        series = [each for family in self.families for each in family.series().values()]
        for each in (*series, *self.internal.values()):
            if isinstance(each, (Counter, CallHistogram)):
                each.renew_lock()

    def _overflow(self) -> None:
        self._dropped.inc()

    def _rejecter(self, metric: Metric) -> Callable[[object, str], None]:
        return partial(self._boundary.reject, metric.name)


class OurMetric(ClientMetric):
    """A family as prometheus_client's ``Metric``, whose samples are made when they are read."""

    def __init__(self, family: Family) -> None:
        metric = family.metric
        name = metric.name[: -len("_total")] if metric.type == "counter" else metric.name
        self._family = family
        super().__init__(name, metric.help, metric.type)

    @property
    def samples(self) -> List[Any]:
        """prometheus_client's ``Sample`` tuples."""
        return [Sample(name, labels, value, None, None) for (_, name, labels), value in self._family.points()]

    @samples.setter
    def samples(self, value: List[Any]) -> None:
        # ClientMetric's constructor assigns an empty list; ours are made on demand.
        assert not value
