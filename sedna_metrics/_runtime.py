"""``start()``, and the only global state of the library: the running worker.

A second ``start()`` gives it again, so that a script and a library it uses can both call it.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any, Callable, Mapping, Optional

from prometheus_client import CollectorRegistry

from sedna_metrics import settings as settings_module
from sedna_metrics._clock import Clock, SystemClock
from sedna_metrics._worker import Worker
from sedna_metrics.identity import WorkerIdentity

_LOGGER = logging.getLogger("sedna_metrics")
_lock = threading.RLock()
_running: Optional[Worker] = None
make_worker: Callable[..., Worker] = Worker
"""What start() makes; in tests :mod:`sedna_metrics.testing` puts something else here."""
_follows_forks = False


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
        environ: where identity and settings are read from; the process's environment where it is not given. Where it is
            given, spawned children do not know their parent, and what they count is not added to its; forked ones do.
        clock: gives the time.
        arguments: settings, by the names of the settings reference (``port=0``, ``pushgateway_url="http://..."``); an
            argument wins over its environment variable.

    Returns:
        the worker. If one is running already it is given again, and the arguments are ignored with a warning.

    Raises:
        SettingError: a setting cannot be used.
        RegistryConflictError: the registry already holds our names.
        TypeError: ``environ`` is no mapping, or ``registry`` no registry.
    """
    global _running
    if environ is not None and not isinstance(environ, Mapping):
        raise TypeError(f"environ is read like os.environ: hand in a dict, not {environ!r:.100}")
    if registry is not None and not isinstance(registry, CollectorRegistry):
        raise TypeError(f"registry must be a prometheus_client.CollectorRegistry, not {registry!r:.100}")
    with _lock:
        kept = running()
        if kept is not None:
            if arguments or registry is not None:
                _LOGGER.warning("start() was called before: the running worker is kept, the new arguments are ignored")
            return kept._acquire()
        variables = os.environ if environ is None else environ
        worker = make_worker(
            WorkerIdentity.from_env(variables),
            settings_module.load(variables, arguments),
            registry if registry is not None else CollectorRegistry(),
            clock or SystemClock(),
            _forget,
        )
        worker._open(variables)
        for warning in settings_module.unknown_variables(variables):
            _LOGGER.warning("%s", warning)
        _running = worker
        _follow_forks()
        return worker._acquire()


def running() -> Optional[Worker]:
    """The running worker, if there is one."""
    return None if _running is None or _running._closed else _running


def _forget(worker: Worker) -> None:
    global _running
    with _lock:
        if _running is worker:
            _running = None


def _follow_forks() -> None:
    # Hooks cannot be taken off again, so that there is one for all workers of a process.
    global _follows_forks
    if not _follows_forks and hasattr(os, "register_at_fork"):
        _follows_forks = True
        os.register_at_fork(after_in_child=_after_fork_in_child)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # a thread of the parent's may have held the old one
    if _running is not None:
        _running._become_child()
