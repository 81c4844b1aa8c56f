"""Observes Sedna's own classes (lib/sedna of kubeedge/sedna); the only package that knows Sedna's Python API.

Nothing of Sedna is imported here. The methods of its classes are observed once the script has imported them. The user's
estimator is never touched.
"""

from __future__ import annotations

import logging
import sys
import threading
from functools import partial
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, Callable, ContextManager, List, Optional, Set

from sedna_metrics import _runtime
from sedna_metrics._imports import ImportWatch
from sedna_metrics._worker import Worker
from sedna_metrics.auto import (
    federated_learning,
    incremental_learning,
    joint_inference,
    lifelong_learning,
    multi_edge_inference,
)
from sedna_metrics.auto._hooks import Hook, Steps
from sedna_metrics.auto._reports import Reports

_LOGGER = logging.getLogger("sedna_metrics")
_REPORT = ("task_info", "status", "results", "kind")
_lock = threading.RLock()


class Observed(ContextManager["Observed"]):
    """Sedna's classes, observed for ``worker``. As a context manager it stops with the body."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._undo: List[Callable[[], None]] = []
        self._closed = False
        self._hooks = hooks(worker)
        self._watch = ImportWatch({hook.module: self._imported for hook in self._hooks})

    def close(self) -> None:
        """Restore every method, and watch no longer for imports. A second call does nothing."""
        with _lock:
            if self._closed:
                return
            self._closed = True
            self._watch.remove()
            while self._undo:
                with self.worker.guard:
                    self._undo.pop()()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _imported(self, module: ModuleType) -> None:
        with _lock, self.worker.guard:
            if self._closed or not is_kubeedge_sedna(getattr(sys.modules.get("sedna"), "__path__", None)):
                return
            for hook in self._hooks:
                if hook.module == module.__name__:
                    with self.worker.guard:
                        undo = hook.apply(module, self.worker.guard)
                        if undo is not None:
                            self._undo.append(undo)


def hooks(worker: Worker) -> List[Hook]:
    """All methods of Sedna's that are observed."""
    reports = Reports()
    found = [
        Hook("sedna.core.base", "JobBase", "report_task_info", _REPORT, reports.reported),
        *joint_inference.hooks(worker),
        *incremental_learning.hooks(worker, reports),
        *federated_learning.hooks(worker, reports),
        *lifelong_learning.hooks(worker, reports),
        *multi_edge_inference.hooks(worker),
    ]
    warn = partial(_warn_once, {hook.owner for hook in found} - {"JobBase"}, set())
    for module, owner in (("sedna.core.base", "JobBase"), (multi_edge_inference.COMPONENTS, "BaseService")):
        found.append(Hook(module, owner, "__init__", (), warn))
    return found


def _warn_once(observed: Set[str], warned: Set[str], job: object, *_: Any, **__: Any) -> Steps:
    """Name a worker class in use that is not observed: one of a later Sedna, or of the script."""
    names = [class_.__name__ for class_ in type(job).__mro__]
    if observed.isdisjoint(names) and names[0] not in warned:
        warned.add(names[0])
        _LOGGER.warning("%s is not observed; docs/tutorial.md says how a script records metrics itself", names[0])
    yield


def observe_sedna(worker: Optional[Worker] = None) -> Observed:
    """Observe Sedna's classes, so that an unedited Sedna script emits its task's metrics.

    Call it before the script builds its job object, such as ``JointInference(...)``; Sedna may be imported before or
    after. docs/run.md says what is observed. A method with another signature than the known one is skipped, with a
    warning that names it.

    Args:
        worker: takes the metrics; by default the running worker, or a new one.

    Returns:
        a handle whose ``close()`` undoes it, as the end of the worker does. A second call for a worker returns the same
        handle.

    Raises:
        SettingError: no worker runs, and a setting of the new one is invalid.
    """
    worker = worker or _runtime.running() or _runtime.start()
    with _lock:
        for closer in worker._closers:
            found = getattr(closer, "__self__", None)
            if isinstance(found, Observed) and not found._closed:
                return found
        observed = Observed(worker)
        observed._watch.install()
        worker.at_close(observed.close)
        return observed


def is_kubeedge_sedna(path: Any) -> bool:
    """Whether the package ``sedna`` with this ``__path__`` is KubeEdge's; PyPI has another one."""
    for package, module in (("sedna.common", "sedna.common.config"), ("sedna.service", "sedna.service.client")):
        spec = PathFinder.find_spec(package, path)
        if spec is None or PathFinder.find_spec(module, spec.submodule_search_locations) is None:
            return False
    return True
