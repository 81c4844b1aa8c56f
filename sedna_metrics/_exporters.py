"""The ways out of one process, opened as the settings ask and closed in the right order.

A worker's main process serves /metrics, pushes, or both, and listens to its children. A child process tells the main
process instead, and a forked one turns into such a child.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, MutableMapping, Optional, Tuple

from prometheus_client import CollectorRegistry

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.catalogue import library
from sedna_metrics.errors import SettingError
from sedna_metrics.exposition import discovery, http
from sedna_metrics.exposition._render import Renderer
from sedna_metrics.exposition.processes import Children, Parent, is_child
from sedna_metrics.identity import UNKNOWN, WorkerIdentity
from sedna_metrics.metrics import Instruments
from sedna_metrics.settings import PARENT_VARIABLE, Settings

if TYPE_CHECKING:
    from sedna_metrics.exposition.delivery import Delivery
    from sedna_metrics.exposition.pushgateway import Credentials
    from sedna_metrics.exposition.spool import Spool

Mentions = Dict[str, List[str]]
_LOGGER = logging.getLogger("sedna_metrics")


class Exporters:
    """What brings the metrics of this process to where they are seen.

    Args:
        settings: how.
        identity: whose.
        registry: what is shown.
        instruments: those of ours in it.
        boundary: keeps failures away from the worker.
        mentions: gives the tasks and attributes in use.
        on_mentions: makes the series of those that a child uses.
    """

    def __init__(
        self,
        settings: Settings,
        identity: WorkerIdentity,
        registry: CollectorRegistry,
        instruments: Instruments,
        boundary: ErrorBoundary,
        mentions: Callable[[], Mentions],
        on_mentions: Callable[[Mentions], None],
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._instruments = instruments
        self._boundary = boundary
        self._mentions = mentions
        self._on_mentions = on_mentions
        self._renderer = Renderer(registry, instruments, boundary, self._drain)
        self._environ: Optional[MutableMapping[str, str]] = None
        self._server: Optional[http.MetricsServer] = None
        self._target: Optional[discovery.Target] = None
        self._delivery: Optional[Delivery] = None
        self._children: Optional[Children] = None
        self._parent: Optional[Parent] = None

    @property
    def url(self) -> Optional[str]:
        """Where /metrics is; ``None`` where nothing listens."""
        return self._server.url if self._server else None

    @property
    def is_child(self) -> bool:
        """Whether this process tells a main process what it counts."""
        return self._parent is not None

    def open(self, environ: Mapping[str, str]) -> None:
        """Open what the settings ask for.

        Raises:
            SettingError: a setting cannot be used.
        """
        variable = environ.get(PARENT_VARIABLE, "")
        pull, push = exports(self._settings, self._identity)
        if not (pull or push):
            return
        if is_child(variable, self._who()) and self._join(variable):
            return
        if _is_of_multiprocessing():
            _LOGGER.warning(
                "this process was started by one that has not called start(), so that it has a port or a group of its "
                "own; call start() there, before it starts processes, to have one for all of them"
            )
        if leaves_gateway_unused(self._settings, self._identity):
            _LOGGER.warning("%s", GATEWAY_UNUSED)
        if pull:
            with _or_without("/metrics"):
                self._serve()
        if push:
            with _or_without("pushes"):
                self._push()
        with self._boundary:
            self._children = Children(self._instruments, self._on_mentions, self._boundary, self._who())
            # Only the process's own environment is what its children inherit.
            if environ is os.environ:
                self._environ = os.environ
                self._environ[PARENT_VARIABLE] = self._children.variable

    def flush(self) -> bool:
        """Bring out what there is now, within the deadline; gives whether it arrived or is safe."""
        if self._parent is not None:
            self._parent.tell()
        return self._delivery.flush() if self._delivery is not None else True

    def has_seen(self) -> bool:
        """Whether the latest flush has seen what there was, so that only sending it is left."""
        return self._delivery.has_seen() if self._delivery is not None else True

    def leave(self) -> None:
        """Withdraw what says that this process is there."""
        if self._target is not None:
            self._target.withdraw()

    def close(self) -> None:
        """Bring out the last state, and close everything; what fails does not keep the rest from being closed."""
        for part in (self._delivery, self._server):
            if part is not None:
                with self._boundary:
                    part.close()
        with self._boundary:
            self.leave()
        if self._children is not None:
            with self._boundary:
                self._children.close()
            if self._environ is not None and self._environ.get(PARENT_VARIABLE) == self._children.variable:
                del self._environ[PARENT_VARIABLE]
        if self._parent is not None:
            with self._boundary:
                self._parent.close()

    def become_child(self) -> None:
        """In a forked child: leave everything to the parent, and tell it what is counted from now on."""
        children, parent = self._children, self._parent
        for part in (self._delivery, self._target):
            if part is not None:
                part.forget()
        for other in (self._server, children, parent):
            if other is not None:
                other.release()
        self._server = self._target = self._delivery = self._children = self._environ = None
        variable = children.variable if children is not None else parent.variable if parent is not None else ""
        self._parent = self._tell(variable) if variable else None

    def show(self, identity: WorkerIdentity) -> None:
        """The identity is known better now."""
        self._identity = identity
        if self._target is not None:
            with self._boundary:
                self._target.publish(_target_labels(identity))

    def _who(self) -> Dict[str, str]:
        return {"namespace": self._identity.namespace, **self._identity.constant_labels()}

    def _drain(self) -> None:
        if self._children is not None:
            self._children.drain()

    def _tell(self, variable: str) -> Parent:
        return Parent(variable, self._instruments, self._mentions, self._boundary)

    def _join(self, variable: str) -> bool:
        parent = self._tell(variable)
        if parent.connect():
            self._parent = parent
            return True
        parent.close()  # it was killed, and its variable lives on in what it started
        return False

    def _serve(self) -> None:
        settings = self._settings
        access = http.Access(
            settings.tls_cert_file,
            settings.tls_key_file,
            settings.tls_client_ca_file,
            settings.auth_username,
            settings.auth_password,
            settings.auth_password_file,
        )
        self._server = http.serve(settings.host, settings.port, self._renderer, self._boundary, access)
        if self._server is None:
            _LOGGER.warning(
                "no port of %s is free, so there is no /metrics; set SEDNA_METRICS_PORT to a wider range, or to 0",
                settings.port,
            )
        elif settings.sd_dir:
            self._publish(self._server)

    def _publish(self, server: http.MetricsServer) -> None:
        folder = Path(self._settings.sd_dir)
        address = server.address
        advertised = self._settings.sd_address
        if advertised:
            address = f"[{advertised}]:{server.port}" if ":" in advertised else f"{advertised}:{server.port}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            discovery.sweep(folder)
            self._target = discovery.Target(folder, address, _target_labels(self._identity), server.is_tls)
        except OSError as why:
            _LOGGER.warning("sd_dir %s cannot be used (%s): an agent will not find this worker there", folder, why)

    def _push(self) -> None:
        # requests takes longer to import than all the rest, and most workers do not push.
        from sedna_metrics.exposition.delivery import Counts, Delivery
        from sedna_metrics.exposition.pushgateway import Pushgateway

        settings, instruments = self._settings, self._instruments
        counts = Counts(
            instruments.counter(library.PUSH_ATTEMPTS),
            instruments.counter(library.PUSH_FAILURES),
            instruments.gauge(library.LAST_PUSH),
            instruments.counter(library.SPOOLED),
            instruments.counter(library.SPOOL_DROPPED),
        )
        spool = open_spool(settings)
        if spool is not None:
            instruments.callback(library.SPOOL_ENTRIES, lambda: float(len(spool)))
        self._delivery = Delivery(
            Pushgateway(settings.pushgateway_url, settings.push_timeout, credentials(settings)),
            self._identity.grouping_key(),
            self._renderer.text,
            spool,
            settings.push_interval,
            settings.push_timeout,
            settings.push_deadline,
            counts,
            self._boundary,
        )


@contextmanager
def _or_without(part: str) -> Iterator[None]:
    """The worker runs on where the machine has no thread or file descriptor left for a part of ours."""
    try:
        yield
    except (OSError, RuntimeError) as why:
        _LOGGER.warning("there are no %s: %s", part, why)


def exports(settings: Settings, identity: WorkerIdentity) -> Tuple[bool, bool]:
    """Whether to serve /metrics, and whether to push.

    Raises:
        SettingError: a push is asked for, and there is nowhere to push to.
    """
    can_push = bool(settings.pushgateway_url)
    if settings.export == "auto":
        return (False, True) if identity.is_batch and can_push else (True, False)
    if settings.export in ("push", "both") and not can_push:
        raise SettingError(
            f"export is {settings.export!r}, but pushgateway_url is not set; set SEDNA_METRICS_PUSHGATEWAY_URL"
        )
    return settings.export in ("pull", "both"), settings.export in ("push", "both")


GATEWAY_UNUSED = (
    "a Pushgateway is set, and nothing is pushed to it: no WORKER_NAME of Sedna's says that this is a job. "
    "Set SEDNA_METRICS_EXPORT to push or both if it is, to pull if it is not"
)


def leaves_gateway_unused(settings: Settings, identity: WorkerIdentity) -> bool:
    """Whether a Pushgateway is set that "auto" does not push to, since it is not known what kind of worker this is."""
    return settings.export == "auto" and bool(settings.pushgateway_url) and identity.worker_type == UNKNOWN


def credentials(settings: Settings) -> Credentials:
    """How the settings say to make oneself known to the Pushgateway."""
    from sedna_metrics.exposition.pushgateway import Credentials

    return Credentials(
        settings.pushgateway_username,
        settings.pushgateway_password,
        settings.pushgateway_password_file,
        settings.pushgateway_bearer_token,
        settings.pushgateway_bearer_token_file,
        settings.pushgateway_ca_file,
        settings.pushgateway_cert_file,
        settings.pushgateway_key_file,
    )


def open_spool(settings: Settings) -> Optional[Spool]:
    """The spool that the settings name; ``None``, with a warning, where it cannot be used."""
    from sedna_metrics.exposition.spool import Spool

    folder = spool_folder(settings)
    if folder is None:
        return None
    is_public = folder == default_spool_dir()
    try:
        return Spool(folder, settings.spool_max_bytes, settings.spool_max_age, in_public=is_public)
    except OSError as why:
        _LOGGER.warning("spool_dir %s cannot be used (%s): what cannot be pushed by the end is lost", folder, why)
        return None


def spool_folder(settings: Settings) -> Optional[Path]:
    """The folder of the spool that the settings name; ``None`` where there is to be none."""
    if settings.spool_dir.lower() == "off":
        return None
    return default_spool_dir() if settings.spool_dir.lower() in ("", "auto") else Path(settings.spool_dir)


def default_spool_dir() -> Path:
    """The spool's folder where none is named."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"sedna-metrics-{user}"


def _is_of_multiprocessing() -> bool:
    module: Any = sys.modules.get("multiprocessing.process")
    return module is not None and module.parent_process() is not None


def _target_labels(identity: WorkerIdentity) -> Dict[str, str]:
    return {
        "namespace": identity.namespace,
        "node": identity.node,
        "kind": identity.kind,
        "worker_type": identity.worker_type,
    }
