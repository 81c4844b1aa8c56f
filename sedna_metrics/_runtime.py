"""``start()``, and the only global state of the library: the running worker.

A second ``start()`` returns it again, so that a script and a library it uses can both call it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Mapping, Optional, Sequence, Union

from prometheus_client import CollectorRegistry

from sedna_metrics import settings
from sedna_metrics._clock import Clock, SystemClock
from sedna_metrics._signals import hold_signals, release_signals
from sedna_metrics._worker import Worker
from sedna_metrics.identity import WorkerIdentity

if TYPE_CHECKING:
    from typing import Literal

    StrPath = Union[str, os.PathLike[str]]

_LOGGER = logging.getLogger("sedna_metrics")
_SETTINGS = [setting.name for setting in settings.TABLE]
_lock = threading.RLock()
_running: Optional[Worker] = None


def start(  # noqa: D417 - the settings are described in one place
    *,
    registry: Optional[CollectorRegistry] = None,
    environ: Optional[Mapping[str, str]] = None,
    clock: Optional[Clock] = None,
    export: Optional[Literal["auto", "pull", "push", "both", "off"]] = None,
    host: Optional[str] = None,
    port: Union[int, str, None] = None,
    process_metrics: Optional[Literal["auto", "on", "off"]] = None,
    pushgateway_url: Optional[str] = None,
    push_interval: Optional[float] = None,
    push_timeout: Optional[float] = None,
    push_deadline: Optional[float] = None,
    pushgateway_username: Optional[str] = None,
    pushgateway_password: Optional[str] = None,
    pushgateway_password_file: Optional[StrPath] = None,
    pushgateway_bearer_token: Optional[str] = None,
    pushgateway_bearer_token_file: Optional[StrPath] = None,
    pushgateway_ca_file: Optional[StrPath] = None,
    pushgateway_cert_file: Optional[StrPath] = None,
    pushgateway_key_file: Optional[StrPath] = None,
    spool_dir: Optional[StrPath] = None,
    spool_max_bytes: Optional[int] = None,
    spool_max_age: Optional[float] = None,
    sd_dir: Optional[StrPath] = None,
    sd_address: Optional[str] = None,
    tls_cert_file: Optional[StrPath] = None,
    tls_key_file: Optional[StrPath] = None,
    tls_client_ca_file: Optional[StrPath] = None,
    auth_username: Optional[str] = None,
    auth_password: Optional[str] = None,
    auth_password_file: Optional[StrPath] = None,
    log: Optional[Literal["json", "text", "off"]] = None,
    log_level: Optional[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]] = None,
    buckets: Union[str, Sequence[float], None] = None,
    max_series: Optional[int] = None,
) -> Worker:
    """Start the worker's metrics and log.

    The settings are described in docs/settings.md; one that is not given is read from its environment variable
    ``SEDNA_METRICS_<NAME>``, else it has its default.

    Args:
        registry: a registry of yours, to be exposed along with ours; a new one by default.
        environ: where identity and settings are read from; the process's environment by default. If it is given,
            spawned child processes do not find their parent; forked ones do.
        clock: returns the time.

    Returns:
        the worker. If one is running already it is returned again, and the arguments are ignored with a warning.

    Raises:
        SettingError: a setting is invalid.
        RegistryConflictError: the registry already has our names.
        TypeError: ``environ`` is not a mapping, ``registry`` not a registry, or a keyword unknown.
    """
    given = {name: value for name, value in locals().items() if name in _SETTINGS and value is not None}
    return start_with(given, registry, environ, clock)


def start_with(
    arguments: Mapping[str, object],
    registry: Optional[CollectorRegistry] = None,
    environ: Optional[Mapping[str, str]] = None,
    clock: Optional[Clock] = None,
) -> Worker:
    """:func:`start`, with the settings as a mapping."""
    global _running
    if environ is not None and not isinstance(environ, Mapping):
        raise TypeError(f"environ is read like os.environ: pass a dict, not {environ!r:.100}")
    if registry is not None and not isinstance(registry, CollectorRegistry):
        raise TypeError(f"registry must be a prometheus_client.CollectorRegistry, not {registry!r:.100}")
    with _lock:
        kept = running()
        if kept is not None:
            if arguments or registry is not None:
                _LOGGER.warning("start() was called before; the running worker is kept, the new arguments are ignored")
            return kept._acquire()
        variables = os.environ if environ is None else environ
        worker = Worker(
            WorkerIdentity.from_env(variables),
            settings.load(variables, arguments),
            registry if registry is not None else CollectorRegistry(),
            clock or SystemClock(),
        )
        worker._open(variables)
        for warning in settings.unknown_variables(variables):
            _LOGGER.warning("%s", warning)
        _running = worker
        _follow_forks()
        return worker._acquire()


def running() -> Optional[Worker]:
    """The running worker, if there is one."""
    return None if _running is None or _running._closed else _running


@lru_cache(maxsize=None)  # hooks cannot be removed again, so there is one for all workers of a process
def _follow_forks() -> None:
    if hasattr(os, "register_at_fork"):
        # A signal within the fork would be handled in the child as if it were the parent, or be lost.
        os.register_at_fork(before=hold_signals, after_in_parent=release_signals, after_in_child=_after_fork_in_child)
    else:  # Python 3.6: only those of multiprocessing
        import multiprocessing.util

        multiprocessing.util.register_after_fork(sys.modules[__name__], lambda _: _after_fork_in_child())


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # a thread of the parent may have held the old one
    worker = running()
    if worker is not None:
        worker._after_fork_in_child()
    release_signals()
