"""Prometheus metrics and JSON logs for KubeEdge Sedna workers.

    import sedna_metrics

    worker = sedna_metrics.start()
    ji = worker.joint_inference

    @ji.edge_inference
    def infer(image): ...

Importing this does nothing but define names: no thread, no socket, no look at the environment.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, List

from sedna_metrics._version import __version__
from sedna_metrics.errors import RegistryConflictError, SednaMetricsError, SettingError

if TYPE_CHECKING:
    from sedna_metrics._runtime import running, start
    from sedna_metrics._worker import Worker
    from sedna_metrics.auto import observe_sedna
    from sedna_metrics.integrations import epochs, keras_callback, progress, track
    from sedna_metrics.logs import log_context

__all__ = [
    "RegistryConflictError",
    "SednaMetricsError",
    "SettingError",
    "Worker",
    "__version__",
    "epochs",
    "keras_callback",
    "log_context",
    "observe_sedna",
    "progress",
    "running",
    "start",
    "track",
]

# Imported when first used: a script that never starts a worker pays for none of it.
_HOMES = {
    "Worker": "sedna_metrics._worker",
    "epochs": "sedna_metrics.integrations",
    "keras_callback": "sedna_metrics.integrations",
    "log_context": "sedna_metrics.logs",
    "observe_sedna": "sedna_metrics.auto",
    "progress": "sedna_metrics.integrations",
    "running": "sedna_metrics._runtime",
    "start": "sedna_metrics._runtime",
    "track": "sedna_metrics.integrations",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> List[str]:
    return __all__


if sys.version_info < (3, 7):  # no __getattr__ of modules
    for _name in _HOMES:
        __getattr__(_name)
