"""What ``start()`` gives in tests: a worker that opens nothing and keeps its lifecycle events."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple
from weakref import WeakSet

from prometheus_client import CollectorRegistry

from sedna_metrics import _runtime
from sedna_metrics._clock import Clock, SystemClock
from sedna_metrics._exporters import exports
from sedna_metrics._worker import Worker
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.metrics import Gauge, Info, State
from sedna_metrics.settings import Settings
from sedna_metrics.testing._clock import FakeClock


class Event(NamedTuple):
    """A lifecycle event: what would have been a record of the log."""

    name: str
    fields: Dict[str, Any]
    """Those that are known."""


class CapturedWorker(Worker):
    """A worker without threads, sockets, signal handlers and log."""

    def open_log(self, events: List[Event]) -> None:
        """Keep events in ``events`` from now on."""
        log: Any = _Events(events)
        self._log = log

    def reopen(self) -> None:
        """Be as before :meth:`close`."""
        self._closed = False
        self._register(self._instruments)

    def _open(self, environ: Mapping[str, str]) -> None:
        exports(self.settings, self.identity)  # what is wrong with the settings is an error here as there
        self._register(self._instruments)


class Takeover:
    """While it lasts, ``start()`` makes captured workers.

    Attributes:
        clock: the clock of all of them, unless ``start()`` was given another.
        events: what they told, in order.
        workers: those that somebody still refers to: a decorator that was bound to one is enough.
        kept: those that were made by the test that runs, which may read what they counted after all else is gone.
    """

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.events: List[Event] = []
        self.workers: WeakSet[Worker] = WeakSet()
        self.kept: List[Worker] = []
        self._made_by = _runtime.make_worker

    def begin(self) -> None:
        """From now on."""
        running = _runtime.running()
        if running is not None:  # a real one; it is what start() goes on to give
            self.workers.add(running)
        _runtime.make_worker = self._make

    def end(self) -> None:
        """Until now; a captured worker that still runs is closed."""
        _runtime.make_worker = self._made_by
        running = _runtime.running()
        if isinstance(running, CapturedWorker):
            running.close()

    def _make(
        self,
        identity: WorkerIdentity,
        settings: Settings,
        registry: CollectorRegistry,
        clock: Clock,
        on_close: Callable[[Worker], None],
    ) -> Worker:
        clock = self.clock if isinstance(clock, SystemClock) else clock
        worker = CapturedWorker(identity, settings, registry, clock, on_close)
        worker.open_log(self.events)
        self.workers.add(worker)
        self.kept.append(worker)
        return worker


def remember(worker: Worker) -> Callable[[], None]:
    """What puts gauges, states and information back as they are now, and ends loops that were left under way."""
    before = {id(cell): _read(cell) for cell in _cells(worker)}

    def restore() -> None:
        for end in list(worker.open_runs):
            end(False)
        for cell in _cells(worker):
            _write(cell, before.get(id(cell)))

    return restore


def _cells(worker: Worker) -> List[Any]:
    return [cell for family in worker._instruments.families for cell in family.series().values()]


def _read(cell: Any) -> Any:
    if isinstance(cell, Gauge):
        return cell.value()
    return cell.current if isinstance(cell, State) else cell.label_sets if isinstance(cell, Info) else None


def _write(cell: Any, value: Any) -> None:
    if isinstance(cell, Gauge):
        cell.restore(value)
    elif isinstance(cell, State):
        cell.current = value
    elif isinstance(cell, Info):
        cell.label_sets = value or ()


class _Events:
    """Stands where a worker has its log."""

    def __init__(self, events: List[Event]) -> None:
        self._events = events

    def emit(self, event: str, **fields: Any) -> None:
        self._events.append(Event(event, {name: value for name, value in fields.items() if value is not None}))

    def bind(self, **fields: Any) -> None:
        """Fields of all records; events have their own."""

    def identify(self, identity: WorkerIdentity) -> None:
        """Who the worker is."""

    def dropped(self) -> float:
        return 0.0
