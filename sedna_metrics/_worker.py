"""The worker that :func:`sedna_metrics.start` gives: its identity, its tasks, its metrics and log."""

from __future__ import annotations

import atexit
import sys
import threading
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Type, TypeVar

from prometheus_client import CollectorRegistry

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics._clock import Clock
from sedna_metrics._compat import cached_property
from sedna_metrics._exporters import Exporters, Mentions
from sedna_metrics._noop import Noop
from sedna_metrics._signals import Signals
from sedna_metrics._version import __version__
from sedna_metrics.catalogue import library, worker as worker_metrics
from sedna_metrics.errors import RegistryConflictError, SettingError
from sedna_metrics.identity import UNKNOWN, WorkerIdentity
from sedna_metrics.metrics import Instruments
from sedna_metrics.settings import Settings
from sedna_metrics.tasks import FederatedLearning, IncrementalLearning, JointInference, LifelongLearning
from sedna_metrics.tasks._context import Emit, TaskContext, reason

if TYPE_CHECKING:
    from sedna_metrics.logs import Log

T = TypeVar("T")


class Worker:
    """A running worker: its tasks, its registry, and what makes its metrics known.

    :func:`start` makes one. As a context manager it notes success if the body ended well, pushes, and closes itself
    unless others called :func:`start` too and still use it.
    """

    def __init__(
        self,
        identity: WorkerIdentity,
        settings: Settings,
        registry: CollectorRegistry,
        clock: Clock,
        on_close: Callable[[Worker], None] = lambda worker: None,
    ) -> None:
        self.identity = identity
        self.settings = settings
        self.registry = registry
        self._clock = clock
        self._on_close = on_close
        self._boundary = ErrorBoundary(clock)
        self._instruments = Instruments(
            identity.constant_labels(), settings.buckets, settings.max_series, self._boundary
        )
        self._info = self._instruments.info(worker_metrics.WORKER_INFO)
        self._last_success = self._instruments.gauge(worker_metrics.LAST_SUCCESS)
        self._instruments.callback(library.INTERNAL_ERRORS, self._boundary.errors)
        self._instruments.callback(library.REJECTED_VALUES, self._boundary.rejected)
        self.active_runs: List[Any] = []
        self.unfinished: List[Callable[[], None]] = []
        """What to call as the worker closes, before its last push; who adds to it takes it off again."""
        self._tasks: Dict[str, Any] = {}
        self._tasks_lock = threading.RLock()
        self._exporters = Exporters(
            settings, identity, registry, self._instruments, self._boundary, self._mentions, self._mention
        )
        self._closers: List[Callable[[], None]] = []
        self._log: Optional[Log] = None
        self._instruments.callback(library.LOG_RECORDS_DROPPED, lambda: self._log.dropped() if self._log else 0.0)
        self._signals: Optional[Signals] = None
        self._closing = threading.RLock()
        self._closed = False
        self._holders = 0
        self._show_identity()

    @property
    def joint_inference(self) -> JointInference:
        """Inference at the edge, hard samples in the cloud."""
        with self._boundary:
            return self._task("joint_inference", JointInference, "jointinferenceservice")
        return Noop()  # type: ignore[return-value]

    @property
    def incremental_learning(self) -> IncrementalLearning:
        """Train, evaluate and deploy on hard samples, iteration by iteration."""
        with self._boundary:
            return self._task("incremental_learning", IncrementalLearning, "incrementallearningjob")
        return Noop()  # type: ignore[return-value]

    @property
    def federated_learning(self) -> FederatedLearning:
        """Train on nodes, aggregate."""
        with self._boundary:
            return self._task("federated_learning", FederatedLearning, "federatedlearningjob")
        return Noop()  # type: ignore[return-value]

    @property
    def lifelong_learning(self) -> LifelongLearning:
        """Train a knowledge base of tasks that grows."""
        with self._boundary:
            return self._task("lifelong_learning", LifelongLearning, "lifelonglearningjob")
        return Noop()  # type: ignore[return-value]

    @property
    def guard(self) -> ErrorBoundary:
        """The failure boundary: takes what goes wrong in code that feeds this worker's metrics."""
        return self._boundary

    @property
    def clock(self) -> Clock:
        """Gives the time."""
        return self._clock

    def update_identity(self, kind: str, worker_type: str) -> None:
        """Note what the class of Sedna's in use tells: the kind for certain, the role where no worker name told it."""
        if self.identity.kind != kind or self.identity.worker_type == UNKNOWN:
            self.identity = replace(self.identity, kind=kind).with_role(kind, worker_type)
            self._show_identity()

    def at_close(self, call: Callable[[], None]) -> None:
        """Have ``call`` called as the worker closes, after its last push."""
        self._closers.append(call)

    @property
    def url(self) -> Optional[str]:
        """Where /metrics is; ``None`` where nothing listens, and in a child process, which tells its parent."""
        return self._exporters.url

    def success(self) -> None:
        """Note that the worker's work ended well just now (``sedna_worker_last_success_timestamp_seconds``)."""
        with self._boundary:
            self._last_success.set(self._clock.time())

    def flush(self) -> bool:
        """Push what there is now; gives whether it arrived, or is safe in the spool, within PUSH_DEADLINE.

        A worker that is scraped has nothing to push, and gives True.
        """
        with self._boundary:
            return self._exporters.flush()
        return False

    def _acquire(self) -> Worker:
        """Once more ``start()`` gave this worker: as many ``with`` blocks have to end before it closes."""
        self._holders += 1
        return self

    def close(self) -> None:
        """Push a last time where a Pushgateway is set, stop listening, put logging back. A second call does nothing."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        while self.unfinished:
            with self._boundary:
                self.unfinished.pop()()
        with self._boundary:
            self._on_close(self)
        atexit.unregister(self.close)
        with self._boundary:
            self._exporters.close()
        while self._closers:
            with self._boundary:
                self._closers.pop()()
        if self._signals is not None:
            with self._boundary:
                self._signals.close()  # the last, since it may be the end of the process

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.success()
        elif self._log is not None and isinstance(error, Exception):
            with self._boundary:
                self._log.emit("worker.failed", exception=error, error=type(error).__name__, reason=reason(error))
        self._holders -= 1
        if self._holders > 0:
            self.flush()  # whoever else called start() goes on with it
        else:
            self.close()

    def _open(self, environ: Mapping[str, str]) -> None:
        """Start what the settings ask for. Raises what is wrong with them, and leaves nothing behind then.

        A part that fails for another reason is not there; the worker runs on without it.
        """
        try:
            with self._boundary:
                if self.settings.log != "off":
                    self._open_log()
            self._register()
            try:
                self._exporters.open(environ)
            except SettingError:
                raise
            except Exception as why:
                self._boundary.record(why)
            with self._boundary:
                if self.settings.export != "off" or self._log is not None:
                    self._signals = Signals.install(self.flush, self._leave, self._exporters.has_seen)
                if self._exporters.is_child:
                    self._close_with_multiprocessing()
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)

    def _open_log(self) -> None:
        # Imported here: a tenth of what a start costs, which who logs in a way of their own need not pay.
        from sedna_metrics.logs import configure_logging, identity_fields

        self._log = configure_logging(self.settings.log, self.settings.log_level, identity_fields(self.identity))
        self._closers.append(self._log.close)

    def _leave(self) -> None:
        """A signal is about to end the process."""
        self._exporters.leave()

    def _become_child(self) -> None:
        """In a forked child: go on counting, and tell the parent."""
        self._boundary.renew_lock()
        self._tasks_lock, self._closing = threading.RLock(), threading.RLock()
        self.unfinished.clear()  # the parent's to end
        with self._boundary:
            self._instruments.renew_locks()
            self._exporters.become_child()
            if self._signals is not None:
                self._signals.renew()
            self._close_with_multiprocessing()

    def _close_with_multiprocessing(self) -> None:
        # Its children end by os._exit(), without atexit, but run the finalizers of this module. Those registered before
        # such a child is set up are cleared in it; a callback for "after fork" runs after that.
        util: Any = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.register_after_fork(self, _finalize_by_multiprocessing)
            _finalize_by_multiprocessing(self)

    def _register(self) -> None:
        try:
            self.registry.register(self._instruments)
        except ValueError as why:
            raise RegistryConflictError(
                f"the registry handed to start() already holds some of our names ({why}). "
                "Hand in another one, or none: sedna_metrics then makes its own"
            ) from why
        self._closers.append(lambda: self.registry.unregister(self._instruments))

    def _task(self, name: str, class_: Callable[[TaskContext], T], kind: str) -> T:
        task = self._tasks.get(name)
        if task is None:
            with self._tasks_lock:
                task = self._tasks.get(name)
                if task is None:
                    self.identity = self.identity.with_role(kind, self.identity.worker_type)
                    self._show_identity()
                    # One step: a signal handler of the worker's may have come to the same line first.
                    task = self._tasks.setdefault(name, class_(self._task_context()))
        result: T = task
        return result

    def _task_context(self) -> TaskContext:
        return TaskContext(
            instruments=self._instruments,
            clock=self._clock,
            boundary=self._boundary,
            emit=_LogEvents(self._boundary, self._log) if self._log is not None else Emit(),
            node=self.identity.node,
            # The environment tells where the worker began; a child comes later, and must not set it back.
            iteration=None if self._exporters.is_child else self.identity.iteration,
            on_success=self.success,
            at_close=self._closers.append,
            active_runs=self.active_runs,
        )

    def _mentions(self) -> Mentions:
        """Tasks in use, each with the attributes that have been made: their series exist."""
        return {
            name: [attribute for attribute in list(vars(task)) if _is_cached(task, attribute)]
            for name, task in list(self._tasks.items())
        }

    def _mention(self, mentions: Mentions) -> None:
        """Make the series of what a child uses."""
        for name, attributes in mentions.items():
            task = getattr(self, name)
            for attribute in attributes:
                if attribute not in vars(task) and _is_cached(task, attribute):
                    getattr(task, attribute)

    def _show_identity(self) -> None:
        identity = self.identity
        self._info.set(
            {
                "namespace": identity.namespace,
                "kind": identity.kind,
                "worker_type": identity.worker_type,
                "node": identity.node,
                "host": identity.host,
                "version": __version__,
            }
        )
        self._exporters.show(identity)
        if self._log is not None:
            self._log.identify(identity)


def _is_cached(task: object, attribute: str) -> bool:
    return isinstance(getattr(type(task), attribute, None), cached_property)


def _finalize_by_multiprocessing(worker: Worker) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, worker.close, exitpriority=0)


class _LogEvents(Emit):
    """Lifecycle events as log records; what goes wrong with one does not reach the task."""

    def __init__(self, boundary: ErrorBoundary, log: Log) -> None:
        self._boundary = boundary
        self._log = log

    def __call__(self, event: str, **fields: Any) -> None:
        with self._boundary:
            self._log.emit(event, **fields)

    def bind(self, **fields: Any) -> None:
        with self._boundary:
            self._log.bind(**fields)
