"""What the code under test counted and logged."""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from sedna_metrics import _runtime
from sedna_metrics._worker import Worker
from sedna_metrics.catalogue import ALL, BY_NAME, Metric
from sedna_metrics.catalogue.log import EVENTS
from sedna_metrics.testing._clock import FakeClock
from sedna_metrics.testing._worker import CapturedWorker, Event, Takeover, remember

#: The proposal has two names for these, where we have one metric and a label.
_PROPOSAL_LABELS: Dict[str, Dict[str, str]] = {
    "EdgeInferenceCount": {"location": "edge"},
    "CloudInferenceCount": {"location": "cloud"},
    "AccuracyMetricForNewModel": {"model": "new"},
    "AccuracyMetricForOldModel": {"model": "old"},
}
_PROPOSAL = {name: metric.name for metric in ALL for name in metric.proposal}
_PARTS = ("_bucket", "_count", "_sum")

Key = Tuple[str, Tuple[Tuple[str, str], ...]]


class Sample(NamedTuple):
    """One sample of a metric; its labels without ``task`` and ``worker``."""

    name: str
    labels: Dict[str, str]
    value: float


class Capture:
    """What happened since the capture began, or since :meth:`mark`: what :func:`capture` and the fixture give.

    Counters and histograms count from there, so that what other tests did through the same decorators is not seen.
    Gauges, states and information are as they are.

    Attributes:
        clock: stands still until ``clock.advance(seconds)``; durations, time left and timestamps come from it.
    """

    def __init__(self, takeover: Takeover) -> None:
        self.clock: FakeClock = takeover.clock
        self._takeover = takeover
        self.mark()

    @property
    def worker(self) -> Worker:
        """The running worker, started now where none is: for code that is handed one."""
        return _runtime.start()

    def mark(self) -> None:
        """Count from here on, and forget the events so far."""
        self._before = {worker: worker._instruments.samples() for worker in self._takeover.workers}
        self._first_event = len(self._takeover.events)

    def value(self, name: str, **labels: str) -> Optional[float]:
        """The value of a sample; ``None`` where there is none.

        Args:
            name: the metric's, or the proposal's (``HardSampleNum``); a part of a histogram with ``_count``, ``_sum``,
                or ``_bucket`` and the label ``le``.
            labels: which of its series. Of a counter, or a histogram's part, those that fit are added up.

        Raises:
            ValueError: there is no such metric or label, or several samples of a gauge fit.
        """
        fitting = self._fitting(name, labels)
        if not fitting:
            return None
        if _metric(name).form in ("counter", "histogram"):
            return sum(sample.value for sample in fitting)
        if len(fitting) > 1:
            raise ValueError(f"{name} has several samples that fit; say which: {[each.labels for each in fitting]}")
        return fitting[0].value

    def state(self, name: str, **labels: str) -> Optional[str]:
        """Which state a state metric is in (``"completed"``); ``None`` where it has not been set.

        Args:
            name: the metric's, or the proposal's (``CurrentStatus``).
            labels: which of its series: ``task_stage="train"``.

        Raises:
            ValueError: there is no such metric or label, it has no states, or several of its series fit.
        """
        metric = _metric(name)
        if metric.form != "state":
            raise ValueError(f"{metric.name} is a {metric.form}: it has a value(), and no state")
        states = [sample.labels[metric.state_label] for sample in self._fitting(name, labels) if sample.value == 1]
        if len(states) > 1:
            raise ValueError(f"{name} has several series that fit, in the states {states}; say which by a label")
        return states[0] if states else None

    def samples(self, name: str) -> List[Sample]:
        """All samples of a metric, by its name or the proposal's; of a histogram, those of its buckets too.

        Raises:
            ValueError: there is no such metric.
        """
        metric = _metric(name)
        samples: Dict[Key, float] = {}
        is_rising = metric.form in ("counter", "histogram")
        for worker in sorted(self._takeover.workers, key=lambda each: each is _runtime.running()):
            before = self._before.get(worker, {})
            for key, value in worker._instruments.samples().items():
                if _metric(key[0]) is metric:
                    # Several workers may have counted; of what does not add up the running one's is the latest.
                    samples[key] = value - before.get(key, 0.0) + samples.get(key, 0.0) if is_rising else value
        return [Sample(each, dict(labels), value) for (each, labels), value in samples.items()]

    def events(self, name: Optional[str] = None) -> List[Event]:
        """The lifecycle events, in order.

        Args:
            name: only these: ``"training.completed"``.

        Raises:
            ValueError: there is no such event.
        """
        known = [event.name for event in EVENTS]
        if name is not None and name not in known:
            raise ValueError(f"there is no event {name!r}{_instead(name, known)}")
        return [event for event in self._takeover.events[self._first_event :] if name in (None, event.name)]

    def _fitting(self, name: str, labels: Dict[str, str]) -> List[Sample]:
        metric = _metric(name)
        known = (*metric.labels, *(("le",) if name.endswith("_bucket") else ()))
        wrong = set(labels) - set(known)
        if wrong:
            raise ValueError(f"{metric.name} has no label {', '.join(sorted(wrong))}: it has {known or 'none'}")
        wanted = {**_PROPOSAL_LABELS.get(name, {}), **labels}.items()
        sample_name = _PROPOSAL.get(name, name)
        return [
            sample
            for sample in self.samples(name)
            if sample.name == sample_name and all(sample.labels.get(label) == value for label, value in wanted)
        ]


@contextmanager
def capture() -> Iterator[Capture]:
    """Capture what happens in the body, and put everything back as it was after it.

    Code in the body that calls ``sedna_metrics.start()`` gets a captured worker, unless a worker runs already. One that
    was started before by real means is captured too, as far as its samples go: its log and its clock are its own.
    """
    with _takeover() as takeover:
        was_running, kept = _runtime.running(), len(takeover.kept)
        restore: List[Callable[[], None]] = [remember(worker) for worker in takeover.workers]
        captured = Capture(takeover)
        try:
            yield captured
        finally:
            running = _runtime.running()
            if running is not None and running is not was_running:
                running.close()
            for put_back in restore:
                put_back()
            del takeover.kept[kept:]
            if isinstance(was_running, CapturedWorker) and _runtime.running() is None:
                was_running.reopen()
                _runtime._running = was_running


_current: Optional[Takeover] = None


@contextmanager
def _takeover() -> Iterator[Takeover]:
    """The takeover that lasts, or one for the body."""
    if _current is not None:
        yield _current
        return
    begin()
    try:
        assert _current is not None
        yield _current
    finally:
        end()


def begin() -> None:
    """Have ``start()`` make captured workers, until :func:`end`; a second call does nothing."""
    global _current
    if _current is None:
        _current = Takeover()
        _current.begin()


def end() -> None:
    """Have ``start()`` make real workers again."""
    global _current
    if _current is not None:
        _current.end()
        _current = None


def _metric(name: str) -> Metric:
    plain = _PROPOSAL.get(name, name)
    for part in ("", *_PARTS):
        if plain.endswith(part):
            metric = BY_NAME.get(plain[: len(plain) - len(part)])
            if metric is not None and (not part or metric.form == "histogram"):
                return metric
    raise ValueError(f"there is no metric {name!r}{_instead(name, [*BY_NAME, *_PROPOSAL])}")


def _instead(name: str, known: List[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; do you mean {close[0]!r}?" if close else ""
