"""Opens what exports the metrics, as the settings ask, and closes it in the right order.

A worker's main process serves /metrics, pushes, or both, and adds what its child processes count. A child process
writes files for the main process instead; a forked one turns into such a child.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Tuple

from prometheus_client import CollectorRegistry

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics._urls import strip_secrets
from sedna_metrics.errors import SettingError
from sedna_metrics.exposition import discovery, http
from sedna_metrics.exposition._render import render
from sedna_metrics.exposition.children import Children, Reporter, is_child
from sedna_metrics.identity import UNKNOWN, WorkerIdentity
from sedna_metrics.metrics import Instruments
from sedna_metrics.settings import PARENT_VARIABLE, Settings

if TYPE_CHECKING:
    from sedna_metrics.exposition.pusher import Pusher

_LOGGER = logging.getLogger("sedna_metrics")

GATEWAY_UNUSED = (
    "SEDNA_METRICS_PUSHGATEWAY_URL is set, but this is not a known job (no WORKER_NAME), so nothing is pushed. "
    "Set SEDNA_METRICS_EXPORT to push or both if it is a job, to pull if it is not"
)


class Exporters:
    def __init__(
        self,
        settings: Settings,
        identity: WorkerIdentity,
        registry: CollectorRegistry,
        instruments: Instruments,
        boundary: ErrorBoundary,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._registry = registry
        self._instruments = instruments
        self._boundary = boundary
        self._server: Optional[http.MetricsServer] = None
        self._target: Optional[discovery.Target] = None
        self._pusher: Optional[Pusher] = None
        self._must_push = False
        self._children: Optional[Children] = None
        self._reporter: Optional[Reporter] = None

    @property
    def url(self) -> Optional[str]:
        """URL of /metrics; ``None`` if nothing listens."""
        return self._server.url if self._server else None

    @property
    def is_child(self) -> bool:
        """Whether this process counts for a main process."""
        return self._reporter is not None

    def open(self, environ: Mapping[str, str]) -> None:
        """Open what the settings ask for; a part that the machine has no resources for is left out, with a warning."""
        pull, push = exports(self._settings, self._identity)
        if not (pull or push):
            return
        variable = environ.get(PARENT_VARIABLE, "")
        if is_child(variable, self._who()) and self._report(variable):
            return
        if environ.get("LOCAL_RANK", "0") not in ("", "0"):  # torchrun: the ranks of a node are one worker of Sedna's
            _LOGGER.info("rank %s of a distributed training exports nothing; rank 0 does", environ["LOCAL_RANK"])
            return
        if _is_child_process():
            _LOGGER.warning(
                "the parent process has not called start(), so this process has its own port or group. "
                "To export all processes together, call start() in the parent first (gunicorn: --preload)"
            )
        if leaves_gateway_unused(self._settings, self._identity):
            _LOGGER.warning("%s", GATEWAY_UNUSED)
        with _or_without("child processes are not counted"):
            self._children = Children(self._instruments, self._boundary, self._who())
            if environ is os.environ:  # children inherit the process's own environment, not one that was passed in
                os.environ[PARENT_VARIABLE] = self._children.variable
        if pull:
            with _or_without("there is no /metrics"):
                self._serve()
        if push:
            self._must_push = True
            with _or_without("nothing is pushed"):
                # requests takes longer to import than all the rest, and most workers do not push.
                from sedna_metrics.exposition.pusher import Pusher

                self._pusher = Pusher(self._settings, self._identity, self._render, self._instruments, self._boundary)

    def destinations(self) -> Dict[str, Optional[str]]:
        """Where the metrics are: URLs of /metrics and of the Pushgateway, without secrets."""
        gateway = strip_secrets(self._settings.pushgateway_url) if self._pusher is not None else None
        return {"metrics_url": self.url, "pushgateway": gateway}

    def request_push(self) -> None:
        if self._pusher is not None:
            self._pusher.request()

    def flush(self) -> bool:
        """Push now; returns whether the state has arrived or is safe, within the deadline."""
        if self._reporter is not None:
            self._reporter.write()
            return True
        return self._pusher.flush() if self._pusher is not None else not self._must_push

    def leave(self) -> None:
        """Push, or delete a replica's group; remove the file_sd file. The process will be killed soon."""
        if self._target is not None:
            self._target.close()
            self._target = None
        if self._pusher is not None and self._identity.is_replicated:
            self._pusher.close()
        else:
            self.flush()

    def close(self) -> None:
        """Push the last state, and close everything."""
        for part in self._parts():
            with self._boundary:  # one that fails must not keep the others open
                part.close()
        self._server = self._target = None  # or a later identity would write the file anew
        if self._children is not None and os.environ.get(PARENT_VARIABLE) == self._children.variable:
            del os.environ[PARENT_VARIABLE]

    def after_fork_in_child(self) -> None:
        """In a forked child: leave everything to the parent, and report to it from now on."""
        parent = self._children or self._reporter
        for part in self._parts():
            part.after_fork_in_child()
        self._pusher = self._server = self._target = self._children = self._reporter = None
        if parent is not None:
            self._report(parent.variable)

    def _parts(self) -> List[Any]:
        parts = (self._pusher, self._server, self._target, self._children, self._reporter)
        return [part for part in parts if part is not None]

    def identify(self, identity: WorkerIdentity) -> None:
        self._identity = identity
        if self._target is not None:
            with _or_without("the worker's file in sd_dir has old labels"):
                self._target.publish(_target_labels(identity))

    def _who(self) -> Dict[str, str]:
        return {"namespace": self._identity.namespace, **self._identity.constant_labels()}

    def _render(self) -> bytes:
        if self._children is not None:
            with self._boundary:
                self._children.refresh()
        return render(self._registry, self._instruments, self._boundary)

    def _report(self, variable: str) -> bool:
        with _or_without("the counts of this child process are not added to its parent's metrics"):
            self._reporter = Reporter(variable, self._instruments, self._boundary)
        return self._reporter is not None

    def _serve(self) -> None:
        self._server = http.serve(self._settings, self._render, self._boundary)
        if self._server is None:
            message = "no port of %s is free, so there is no /metrics; set SEDNA_METRICS_PORT to a wider range, or to 0"
            _LOGGER.warning(message, self._settings.port)
        elif self._settings.sd_dir:
            folder, address = Path(self._settings.sd_dir), self._settings.sd_address
            address = discovery.advertised(address, self._server.port) if address else self._server.address
            with _or_without(f"sd_dir {folder} cannot be used, so agents do not find this worker"):
                folder.mkdir(parents=True, exist_ok=True)
                discovery.sweep(folder)
                self._target = discovery.Target(folder, address, _target_labels(self._identity), self._server.is_tls)


@contextmanager
def _or_without(what: str) -> Iterator[None]:
    """The worker runs on without what the machine has no thread, descriptor or folder for."""
    try:
        yield
    except (OSError, RuntimeError) as why:
        _LOGGER.warning("%s: %s", what, why)


def exports(settings: Settings, identity: WorkerIdentity) -> Tuple[bool, bool]:
    """Whether to serve /metrics, and whether to push; SettingError if it must push without a Pushgateway."""
    export, can_push = settings.export, bool(settings.pushgateway_url)
    if export == "auto":
        export = "push" if identity.is_batch and can_push else "pull"
    if export in ("push", "both") and not can_push:
        raise SettingError(f"export is {export!r}, but pushgateway_url is not set; set SEDNA_METRICS_PUSHGATEWAY_URL")
    return export in ("pull", "both"), export in ("push", "both")


def leaves_gateway_unused(settings: Settings, identity: WorkerIdentity) -> bool:
    """Whether a Pushgateway is set that ``auto`` does not use, because the kind of worker is unknown."""
    return settings.export == "auto" and bool(settings.pushgateway_url) and identity.worker_type == UNKNOWN


def _is_child_process() -> bool:
    """Whether multiprocessing has started this process, or gunicorn has, without --preload."""
    module: Any = sys.modules.get("multiprocessing.process")
    frame: Any = sys._getframe() if "gunicorn" in sys.modules else None
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("gunicorn.workers."):
            return True
        frame = frame.f_back
    return module is not None and module.current_process().name != "MainProcess"


def _target_labels(identity: WorkerIdentity) -> Dict[str, str]:
    return {name: getattr(identity, name) for name in ("namespace", "node", "kind", "worker_type")}
