"""``start()`` and the worker it gives: the composition root, and the only global state of the library.

The global is the running worker: a second ``start()`` gives it again, so that a script and a library it uses can both
call it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from types import TracebackType
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, TypeVar

from prometheus_client import CollectorRegistry

from sedna_metrics import logs, settings as settings_module
from sedna_metrics._clock import Clock, SystemClock
from sedna_metrics._guard import Guard
from sedna_metrics._version import __version__
from sedna_metrics.catalogue import library, worker as worker_metrics
from sedna_metrics.errors import RegistryConflictError, SettingError
from sedna_metrics.exposition import http
from sedna_metrics.exposition._render import Renderer
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.instruments import Instruments
from sedna_metrics.settings import Settings
from sedna_metrics.tasks import FederatedLearning, IncrementalLearning, JointInference, LifelongLearning
from sedna_metrics.tasks._context import Emit, TaskContext

T = TypeVar("T")

_LOGGER = logging.getLogger("sedna_metrics")
_lock = threading.RLock()
_running: Optional[Worker] = None


class Worker:
    """A running worker: its tasks, its registry, and what makes its metrics known.

    :func:`start` makes one. As a context manager it closes itself, and notes success if the body ended well.
    """

    def __init__(
        self,
        identity: WorkerIdentity,
        settings: Settings,
        registry: CollectorRegistry,
        clock: Clock,
    ) -> None:
        self.identity = identity
        self.settings = settings
        self.registry = registry
        self._clock = clock
        self._guard = Guard(clock)
        self._instruments = Instruments(identity.constant_labels(), settings.buckets, settings.max_series, self._guard)
        self._info = self._instruments.info(worker_metrics.WORKER_INFO)
        self._show_identity()
        self._last_success = self._instruments.gauge(worker_metrics.LAST_SUCCESS)
        self._instruments.derived(library.INTERNAL_ERRORS, self._guard.errors)
        self._instruments.derived(library.REJECTED_VALUES, self._guard.rejected)
        self._tasks: Dict[Any, Any] = {}
        self._tasks_lock = threading.Lock()
        self._closers: List[Callable[[], None]] = []
        self._server: Optional[http.MetricsServer] = None
        self._closed = False

    @property
    def joint_inference(self) -> JointInference:
        """Inference at the edge, hard samples in the cloud."""
        return self._task(JointInference, "jointinferenceservice")

    @property
    def incremental_learning(self) -> IncrementalLearning:
        """Train, evaluate and deploy on hard samples, iteration by iteration."""
        return self._task(IncrementalLearning, "incrementallearningjob")

    @property
    def federated_learning(self) -> FederatedLearning:
        """Train on nodes, aggregate."""
        return self._task(FederatedLearning, "federatedlearningjob")

    @property
    def lifelong_learning(self) -> LifelongLearning:
        """Train a knowledge base of tasks that grows."""
        return self._task(LifelongLearning, "lifelonglearningjob")

    @property
    def url(self) -> Optional[str]:
        """Where /metrics is; ``None`` where nothing listens."""
        return self._server.url if self._server else None

    def success(self) -> None:
        """Note that the worker's work ended well just now (``sedna_worker_last_success_timestamp_seconds``)."""
        self._last_success.set(self._clock.time())

    def close(self) -> None:
        """Push a last time where a Pushgateway is set, stop listening, put logging back. A second call does nothing."""
        global _running
        with _lock:
            if self._closed:
                return
            self._closed = True
            if _running is self:
                _running = None
        atexit.unregister(self.close)
        while self._closers:
            with self._guard:
                self._closers.pop()()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if error is None:
            self.success()
        self.close()

    def _task(self, class_: Callable[[TaskContext], T], kind: str) -> T:
        task = self._tasks.get(class_)
        if task is None:
            with self._tasks_lock:
                task = self._tasks.get(class_)
                if task is None:
                    self.identity = self.identity.with_role(kind, self.identity.worker_type)
                    self._show_identity()
                    task = self._tasks[class_] = class_(self._task_context())
        result: T = task
        return result

    def _task_context(self) -> TaskContext:
        return TaskContext(
            instruments=self._instruments,
            clock=self._clock,
            guard=self._guard,
            emit=_LogEvents(self._guard) if self.settings.log != "off" else Emit(),
            node=self.identity.node,
            iteration=self.identity.iteration,
            on_success=self.success,
        )

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

    def _open(self) -> None:
        """Start what the settings ask for. Raises what is wrong with them, and leaves nothing behind then."""
        settings, identity = self.settings, self.identity
        try:
            self._closers.append(logs.configure_logging(settings.log, settings.log_level, _log_identity(identity)))
            self._register()
            renderer = Renderer(self.registry, self._instruments, self._guard)
            pull, push = exports(settings, identity)
            if pull:
                self._serve(renderer)
            if push:
                self._push(renderer)
        except BaseException:
            self.close()
            raise

    def _register(self) -> None:
        try:
            self.registry.register(self._instruments)
        except ValueError as why:
            raise RegistryConflictError(
                f"the registry handed to start() already holds some of our names ({why}). "
                "Hand in another one, or none: sedna_metrics then makes its own"
            ) from why
        self._closers.append(lambda: self.registry.unregister(self._instruments))

    def _serve(self, renderer: Renderer) -> None:
        self._server = http.serve(self.settings.host, self.settings.port, renderer, self._guard)
        if self._server is None:
            _LOGGER.warning(
                "no port of %s is free, so there is no /metrics; set SEDNA_METRICS_PORT to a wider range, or to 0",
                self.settings.port,
            )
        else:
            self._closers.append(self._server.close)

    def _push(self, renderer: Renderer) -> None:
        # requests takes longer to import than all the rest, and most workers do not push.
        from sedna_metrics.exposition.pushgateway import Pushgateway, PushLoop

        settings = self.settings
        loop = PushLoop(
            Pushgateway(settings.pushgateway_url, self.identity.grouping_key(), settings.push_timeout),
            renderer.text,
            settings.push_interval,
            settings.push_deadline,
            self._instruments.counter(library.PUSH_ATTEMPTS),
            self._instruments.counter(library.PUSH_FAILURES),
            self._guard,
        )
        self._closers.append(loop.close)


class _LogEvents(Emit):
    """Lifecycle events as log records; what goes wrong with one does not reach the task."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __call__(self, event: str, **fields: Any) -> None:
        with self._guard:
            logs.emit(event, **fields)

    def bind(self, **fields: Any) -> None:
        with self._guard:
            logs.bind(**fields)


def start(
    *,
    registry: Optional[CollectorRegistry] = None,
    environ: Optional[Mapping[str, str]] = None,
    clock: Optional[Clock] = None,
    **arguments: Any,
) -> Worker:
    """Start the worker's metrics and log.

    Args:
        registry: a registry of yours to be exposed along with ours; a new one where it is not given.
        environ: where identity and settings are read from; the process's environment where it is not given.
        clock: gives the time.
        arguments: settings, by the names of the settings reference (``port=0``, ``pushgateway_url="http://..."``); an
            argument wins over its environment variable.

    Returns:
        the worker. If one is running already it is given again, and the arguments are ignored with a warning.

    Raises:
        SettingError: a setting cannot be used.
        RegistryConflictError: the registry already holds our names.
    """
    global _running
    with _lock:
        if _running is not None:
            if arguments or registry is not None:
                _LOGGER.warning("start() was called before: the running worker is kept, the new arguments are ignored")
            return _running
        variables = os.environ if environ is None else environ
        worker = Worker(
            WorkerIdentity.from_env(variables),
            settings_module.load(variables, arguments),
            registry if registry is not None else CollectorRegistry(),
            clock or SystemClock(),
        )
        worker._open()
        for warning in settings_module.unknown_variables(variables):
            _LOGGER.warning("%s", warning)
        atexit.register(worker.close)
        _running = worker
        return worker


def exports(settings: Settings, identity: WorkerIdentity) -> Tuple[bool, bool]:
    """Whether to serve /metrics, and whether to push."""
    can_push = bool(settings.pushgateway_url)
    if settings.export == "auto":
        return (False, True) if identity.is_batch and can_push else (True, False)
    if settings.export in ("push", "both") and not can_push:
        raise SettingError(
            f"export is {settings.export!r}, but pushgateway_url is not set; set SEDNA_METRICS_PUSHGATEWAY_URL"
        )
    return settings.export in ("pull", "both"), settings.export in ("push", "both")


def _log_identity(identity: WorkerIdentity) -> Dict[str, str]:
    return {
        "namespace": identity.namespace,
        "task": identity.task,
        "worker": identity.worker,
        "kind": identity.kind,
        "worker_type": identity.worker_type,
        "node": identity.node,
    }
