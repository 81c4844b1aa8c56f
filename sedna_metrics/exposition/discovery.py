"""Service discovery: the worker's target, as a file that Prometheus' ``file_sd_configs`` reads.

Each worker writes one file into a folder that it shares with an agent on its node, and holds the file's lock while it
lives. The next start (or ``sedna-metrics flush``) removes files whose lock is free: their workers are gone.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Mapping

from sedna_metrics.errors import SettingError
from sedna_metrics.exposition._files import Lock, remove_if_abandoned

_OURS = r"sedna-[0-9a-f]{16}\.json\Z"


class Target:
    """One worker's file ``<folder>/sedna-<hash>.json``, with its address ``host:port`` as the agent reaches it."""

    def __init__(self, folder: Path, address: str, labels: Mapping[str, str], tls: bool = False) -> None:
        self.path = folder / f"sedna-{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"
        self._address = address
        self._scheme = "https" if tls else "http"
        self._lock = Lock(self.path)
        self.publish(labels)

    def publish(self, labels: Mapping[str, str]) -> None:
        group = {"targets": [self._address], "labels": {**labels, "__scheme__": self._scheme}}
        self._lock.write(json.dumps([group], indent=2).encode())

    def close(self) -> None:
        """Remove the file; if the folder is read-only by now, a sweep will find it."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        self._lock.forget()


def sweep(folder: Path) -> int:
    """Remove the files of workers that are gone; returns how many."""
    return sum(remove_if_abandoned(path) for path in folder.iterdir() if re.match(_OURS, path.name))


def advertised(address: str, port: int) -> str:
    """``host:port`` for the file, of SD_ADDRESS and the port that is served; another port raises SettingError."""
    host, colon, given = address.rpartition(":")
    if colon and given.isdecimal() and (":" not in host or host.startswith("[")):  # not a bare IPv6 address
        if int(given) != port:
            raise SettingError(
                f"sd_address is {address!r}, but /metrics is on port {port}: leave the port out, or set PORT to it"
            )
        return address
    bare = address.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
