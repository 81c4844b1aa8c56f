"""The worker that :func:`sedna_metrics.start` returns: its identity, its tasks, its metrics and log."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Type, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from sedna_metrics._boundary import ErrorBoundary, contained
from sedna_metrics._clock import Clock
from sedna_metrics._exporters import Exporters, exports
from sedna_metrics._noop import Noop
from sedna_metrics._signals import Signals
from sedna_metrics._version import __version__
from sedna_metrics.catalogue import library, worker as worker_metrics
from sedna_metrics.errors import RegistryConflictError, SettingError, describe
from sedna_metrics.identity import UNKNOWN, WorkerIdentity
from sedna_metrics.metrics import Instruments
from sedna_metrics.settings import Settings
from sedna_metrics.tasks._context import TaskContext
from sedna_metrics.tasks.federated_learning import FederatedLearning
from sedna_metrics.tasks.incremental_learning import IncrementalLearning
from sedna_metrics.tasks.joint_inference import JointInference
from sedna_metrics.tasks.lifelong_learning import LifelongLearning
from sedna_metrics.tasks.multi_edge_inference import MultiEdgeInference

T = TypeVar("T")
#: Those whose worker has failed if it never came to use its task.
_BATCH_TASKS = {
    "incrementallearningjob": IncrementalLearning,
    "federatedlearningjob": FederatedLearning,
    "lifelonglearningjob": LifelongLearning,
}


class Worker:
    """A running worker.

    :func:`sedna_metrics.start` makes one. As a context manager it records success if the body ended well, pushes, and
    closes, unless others called ``start()`` too and still use it.
    """

    def __init__(self, identity: WorkerIdentity, settings: Settings, registry: CollectorRegistry, clock: Clock) -> None:
        self.identity = identity
        self.settings = settings
        self.registry = registry
        self.clock = clock
        self.active_runs: List[Any] = []
        """Trainings and evaluations in progress, the latest last."""
        self.open_runs: List[Callable[[bool], None]] = []
        """Called when the worker closes, before its last push, with whether it has failed."""
        self.guard = self._boundary = ErrorBoundary(clock)
        instruments = Instruments(identity.constant_labels(), settings.buckets, settings.max_series, self._boundary)
        instruments.callback(library.INTERNAL_ERRORS, self._boundary.errors)
        instruments.callback(library.REJECTED_VALUES, self._boundary.rejected)
        self._instruments = instruments
        self._info = instruments.info(worker_metrics.WORKER_INFO)
        self._last_success = instruments.gauge(worker_metrics.LAST_SUCCESS)
        self._log: Any = Noop()
        instruments.callback(library.LOG_RECORDS_DROPPED, lambda: self._log.dropped() if settings.log != "off" else 0.0)
        self._tasks: Dict[type, Any] = {}
        self._exporters = Exporters(settings, identity, registry, instruments, self._boundary)
        self._closers: List[Callable[[], None]] = []
        self._signals: Optional[Signals] = None
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._closed = False
        self._has_failed = False
        self._holders = 0
        self._show_identity()

    @property
    def joint_inference(self) -> JointInference:
        """Inference at the edge, hard samples in the cloud."""
        return self._task("jointinferenceservice", JointInference)

    @property
    def incremental_learning(self) -> IncrementalLearning:
        """Train, evaluate and deploy on hard samples, iteration by iteration."""
        return self._task("incrementallearningjob", IncrementalLearning)

    @property
    def federated_learning(self) -> FederatedLearning:
        """Train on nodes, aggregate."""
        return self._task("federatedlearningjob", FederatedLearning)

    @property
    def lifelong_learning(self) -> LifelongLearning:
        """Train a growing knowledge base of tasks."""
        return self._task("lifelonglearningjob", LifelongLearning)

    @property
    def multi_edge_inference(self) -> MultiEdgeInference:
        """Detect, track and re-identify objects on several nodes; used by five of Sedna's kinds."""
        return self._task("", MultiEdgeInference)

    @property
    def url(self) -> Optional[str]:
        """URL of /metrics; ``None`` if nothing listens, as in child processes."""
        return self._exporters.url

    @contained()
    def update_identity(self, kind: str, worker_type: str) -> None:
        """Set the kind to that of the Sedna class in use, and the worker type if WORKER_NAME did not give it."""
        known = self.identity.worker_type
        if self.identity.kind != kind or known == UNKNOWN:
            self.identity = self.identity._replace(kind=kind, worker_type=worker_type if known == UNKNOWN else known)
            self._show_identity()

    def at_close(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when the worker closes, after its last push."""
        self._closers.append(call)

    @contained()
    def success(self) -> None:
        """Record that the worker's work has just ended well (``sedna_worker_last_success_timestamp_seconds``)."""
        self._last_success.set(self.clock.time())

    @contained(lambda: False)
    def flush(self) -> bool:
        """Push now; returns whether the state has arrived, or is in the spool, within PUSH_DEADLINE.

        A worker that does not push returns True.
        """
        return self._exporters.flush()

    def close(self) -> None:
        """Push a last time if a Pushgateway is set, stop listening, restore logging. A second call does nothing."""
        if os.getpid() != self._pid:
            return  # forked where Python cannot tell us (3.6): everything is the parent's
        with self._lock:
            if self._closed:
                return
            self._closed = True
        # An uncaught exception, if the interpreter is exiting.
        failed = self._has_failed or (not threading.main_thread().is_alive() and hasattr(sys, "last_type"))
        self._end_tasks("failed" if failed else "completed")
        atexit.unregister(self.close)
        for close in (self._exporters.close, *reversed(self._closers)):
            with self._boundary:
                close()
        if self._signals is not None:
            self._signals.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.success()
        else:
            self._has_failed = True
            if isinstance(error, Exception):
                with self._boundary:
                    self._log("worker.failed", exception=error, error=type(error).__name__, reason=describe(error))
        self._holders -= 1
        if self._holders > 0:
            self.flush()  # others still use it
        else:
            self.close()

    def _acquire(self) -> Worker:
        """``start()`` has returned this worker once more; it closes after as many ``with`` blocks."""
        self._holders += 1
        return self

    def _open(self, environ: Mapping[str, str]) -> None:
        """Start what the settings ask for; nothing is left behind if that raises."""
        try:
            pull, _ = exports(self.settings, self.identity)
            if self.settings.log != "off":
                self._open_log()
            self._register(self._instruments)
            if self.settings.process_metrics == "on" or (pull and self.settings.process_metrics == "auto"):
                self._register_process_metrics()
            try:
                self._exporters.open(environ)
            except SettingError:
                raise
            except Exception as error:
                self._boundary.record(error)
            if self.settings.export != "off" or self.settings.log != "off":
                self._signals = Signals(self._exporters.request_push, self._terminated)
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)
        if self._exporters.is_child:
            self._close_with_multiprocessing()
        else:
            self._log("worker.started", **self._exporters.destinations())

    def _open_log(self) -> None:
        # Imported here: it is a tenth of the cost of start(), and scripts with a log of their own do not need it.
        from sedna_metrics.logs import configure_logging, identity_fields

        self._log = configure_logging(self.settings.log, self.settings.log_level, identity_fields(self.identity))
        self._closers.append(self._log.close)

    def _register(self, collector: Collector) -> None:
        try:
            self.registry.register(collector)
        except ValueError as why:
            raise RegistryConflictError(
                f"the registry passed to start() already has some of our names ({why}). "
                "Pass another one, or none: sedna_metrics then makes its own"
            ) from why
        self._closers.append(lambda: self.registry.unregister(collector))

    def _register_process_metrics(self) -> None:
        from sedna_metrics.exposition.process import ProcessMetrics

        try:
            self._register(ProcessMetrics(self.identity.constant_labels()))
        except RegistryConflictError:
            pass  # prometheus_client's default registry has them already

    def _end_tasks(self, status: str) -> None:
        """Every stage that is not finished is ``completed`` or ``failed``; also one that was never entered."""
        for end in list(reversed(self.open_runs)):
            with self._boundary:
                end(status == "failed")
        self.open_runs.clear()
        self._set_status(status)

    def _set_status(self, status: str) -> None:
        if status == "failed" and self.identity.is_batch and self.identity.kind in _BATCH_TASKS:
            self._task(self.identity.kind, _BATCH_TASKS[self.identity.kind])
        for task in list(self._tasks.values()):
            if hasattr(task, "end") and not self._exporters.is_child:
                with self._boundary:
                    task.end(status)

    def _terminated(self, name: str, is_fatal: bool) -> None:
        """A signal is about to end the process, or may be followed by SIGKILL if it is not fatal."""
        with self._boundary:
            if not self._exporters.is_child:  # pools of multiprocessing end their processes in this way
                self._log("worker.terminated", signal=name)
            if self.identity.is_batch or self.active_runs:
                if is_fatal:
                    self._end_tasks("failed")
                else:
                    self._set_status("failed")  # the work may end well after all
        with self._boundary:
            if is_fatal:
                self._exporters.close()
            elif name == "SIGTERM" and os.getpid() == 1:
                self._exporters.leave()
            else:
                self._exporters.flush()

    def _after_fork_in_child(self) -> None:
        """In a forked child: go on counting, and report to the parent."""
        self._pid = os.getpid()
        self._boundary.renew_lock()
        self._lock = threading.RLock()
        self.open_runs.clear()  # the parent's to end
        with self._boundary:
            self._instruments.renew_locks()
            self._exporters.after_fork_in_child()
            if self._signals is not None:
                self._signals.after_fork_in_child()
            self._close_with_multiprocessing()

    def _close_with_multiprocessing(self) -> None:
        # Its children end by os._exit(), without atexit, but run the finalizers of this module. Those registered before
        # such a child is set up are cleared in it; a callback for "after fork" runs after that.
        util: Any = sys.modules.get("multiprocessing.util")
        if util is not None:

            def finalize(worker: Worker) -> None:
                util.Finalize(None, worker.close, exitpriority=0)

            util.register_after_fork(self, finalize)
            finalize(self)

    def _task(self, kind: str, class_: Type[T]) -> T:
        """The task of this class, made at its first use; an unknown worker is of its ``kind`` then."""
        task: Any = self._tasks.get(class_)
        if task is None:
            task = Noop()
            with self._boundary, self._lock:
                if self.identity.kind == UNKNOWN and kind:
                    self.identity = self.identity._replace(kind=kind)
                    self._show_identity()
                task = self._tasks.setdefault(class_, class_(self._task_context()))  # type: ignore[call-arg]
        return task  # type: ignore[no-any-return]

    def _task_context(self) -> TaskContext:
        # A child process begins later than its parent, and must not set the iteration back.
        identity = self.identity._replace(iteration=None) if self._exporters.is_child else self.identity
        return TaskContext(
            instruments=self._instruments,
            clock=self.clock,
            boundary=self._boundary,
            emit=self._log,
            identity=identity,
            on_success=self.success,
            on_change=self._exporters.request_push,
            at_close=self._closers.append,
            active_runs=self.active_runs,
        )

    def _show_identity(self) -> None:
        names = (name for name in worker_metrics.WORKER_INFO.labels if name != "version")
        self._info.set({**{name: getattr(self.identity, name) for name in names}, "version": __version__})
        self._exporters.identify(self.identity)
        self._log.identify(self.identity)
