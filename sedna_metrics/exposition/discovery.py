"""Discovery: the worker's target, as a file that Prometheus' ``file_sd_configs`` reads.

Each worker writes one file into a folder that it shares with an agent on its node, and holds the file's lock while it
lives; a file whose lock is free is a dead worker's, and the next start (or ``sedna-metrics flush``) removes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Dict, Mapping, Optional

from sedna_metrics.exposition._files import is_owned, write_whole

_OURS = re.compile(r"sedna-[0-9a-f]{16}\.json\Z")


class Target:
    """One worker's file.

    Args:
        folder: the folder that ``file_sd_configs`` names, as ``<folder>/sedna-*.json``.
        address: ``host:port`` of /metrics, as the agent reaches it.
        labels: target labels.
        tls: whether it is served by https.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, address: str, labels: Mapping[str, str], tls: bool = False) -> None:
        self.path = folder / f"sedna-{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"
        self._address = address
        self._scheme = "https" if tls else "http"
        self._descriptor: Optional[int] = None
        self.publish(labels)

    def publish(self, labels: Mapping[str, str]) -> None:
        """Write the file, or write it anew with other labels.

        Raises:
            OSError: the folder cannot be written.
        """
        known: Dict[str, str] = {**labels, "__scheme__": self._scheme}
        content = json.dumps([{"targets": [self._address], "labels": known}], indent=2).encode()
        # 0644: the agent runs as another user.
        before, self._descriptor = self._descriptor, write_whole(self.path, content, 0o644, lock=True)
        if before is not None:
            os.close(before)

    def withdraw(self) -> None:
        """Remove the file."""
        try:
            os.unlink(self.path)
        except OSError:
            pass  # somebody cleaned up before us, or the folder is read-only by now: a sweep will find it
        self.forget()

    def forget(self) -> None:
        """Close the descriptor and nothing else: in a forked child the file stays the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def sweep(folder: Path) -> int:
    """Remove the files of dead workers; gives how many.

    Raises:
        OSError: the folder cannot be read.
    """
    swept = 0
    for path in folder.iterdir():
        if _OURS.match(path.name) and not is_owned(path):
            try:
                os.unlink(path)
                swept += 1
            except FileNotFoundError:
                pass  # another sweep was faster
    return swept
