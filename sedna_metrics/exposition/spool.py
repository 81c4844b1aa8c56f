"""The spool: undelivered pushes on disk, for the next worker of the node or for ``sedna-metrics flush``.

One file for each group, with its latest state and the gateway that it is for. A worker holds the lock of its group
while it lives; others deliver a file only while they hold that lock. So an older state never replaces a newer one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from sedna_metrics.exposition._files import Lock, atomic_write, check_private, read_own, remove, remove_if_abandoned
from sedna_metrics.exposition.pushgateway import PushError, Pushgateway, grouping_key
from sedna_metrics.settings import Settings

MAX_BODY_BYTES = 16 << 20  # of one state, inflated

_LOGGER = logging.getLogger("sedna_metrics")
_MAGIC = b"sedna-metrics-spool 2 "
_OURS = re.compile(r"[0-9a-f]{24}\.spool\Z")
_LOCK = re.compile(r"[0-9a-f]{24}\.lock\Z")
_TEMPORARY = re.compile(r"\.[0-9a-f]{24}\.spool\.[0-9a-f]+\.tmp\Z")
_STALE_SECONDS = 3600.0
_MAX_HEADER = 8192
_WRITABLE = 0o022


class Entry(NamedTuple):
    """An undelivered state: its Pushgateway's URL, its group (a path ``/metrics/job/...`` below that), its body."""

    gateway: str
    group: str
    body: bytes


class Report(NamedTuple):
    """Numbers of states that have arrived, and that were too old or refused; why the gateway did not take the rest."""

    delivered: int
    dropped: int
    error: Optional[PushError]


class Spool:
    """A private folder of undelivered pushes, of at most ``max_bytes``, none older than ``max_age`` seconds."""

    def __init__(self, folder: Path, max_bytes: int, max_age: float) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._max_age = max_age
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(folder, _WRITABLE)

    def lock(self, group: str) -> Lock:
        """The lock of a group, not acquired yet."""
        return Lock(self._path(group).with_suffix(".lock"))

    def put(self, gateway: str, group: str, body: bytes) -> int:
        """Keep a group's state, instead of an earlier one; returns how many older files of other groups it replaced."""
        check_private(self.folder, _WRITABLE)
        packed = zlib.compress(body, 5)
        header = {"gateway": gateway, "group": group, "sha256": hashlib.sha256(packed).hexdigest()}
        content = _MAGIC + json.dumps(header).encode() + b"\n" + packed
        if len(content) > self._max_bytes:
            raise OSError(errno.EFBIG, f"{len(content)} bytes are more than the spool may hold ({self._max_bytes})")
        dropped = self._make_room(len(content), keep=self._path(group))
        atomic_write(self._path(group), content)
        return dropped

    def discard(self, group: str) -> None:
        """Remove a group's state: a newer one has arrived."""
        remove(self._path(group))

    def read(self, group: str) -> Optional[Entry]:
        return self._read(self._path(group))

    def holds(self, group: str) -> bool:
        return self._path(group).exists()

    def entries(self) -> List[Entry]:
        """All readable states, oldest first."""
        return [entry for entry in map(self._read, self._files()) if entry is not None]

    def __len__(self) -> int:
        return len(self._files())

    def deliver(
        self, gateway: Pushgateway, namespace: Optional[str] = None, stop: Callable[[], bool] = lambda: False
    ) -> Report:
        """Push the states for this gateway (and namespace) of workers that are gone, until ``stop`` says so."""
        delivered, dropped = 0, self._expire()
        for path in self._files():
            if stop():
                break
            lock = Lock(path.with_suffix(".lock"))
            if not lock.acquire():
                continue  # its worker lives, and will push itself
            try:
                entry = self._read(path)  # under the lock: a newer state may have been written before
                if entry is None or entry.gateway != gateway.url:
                    continue
                if namespace is not None and grouping_key(entry.group)["namespace"] != namespace:
                    continue
                gateway.push(entry.group, entry.body)
                delivered += 1
                remove(path)
            except PushError as error:
                if not error.refused:
                    return Report(delivered, dropped, error)
                _LOGGER.warning("a spooled push was refused, and is dropped: %s", error)
                dropped += remove(path)
            finally:
                lock.release()
        return Report(delivered, dropped, None)

    def _expire(self) -> int:
        """Remove what killed workers have left, and states that are too old; returns the number of these."""
        for path in self.folder.iterdir():
            if _LOCK.match(path.name):
                remove_if_abandoned(path)
            elif _TEMPORARY.match(path.name) and time.time() - path.lstat().st_mtime > _STALE_SECONDS:
                remove(path)
        return self._make_room(0)

    def _files(self) -> Dict[Path, os.stat_result]:
        """All states, oldest first."""
        found = {}
        for path in self.folder.glob("*.spool"):
            with suppress(OSError):  # removed meanwhile
                if _OURS.match(path.name):
                    found[path] = path.lstat()
        return dict(sorted(found.items(), key=lambda each: each[1].st_mtime))

    def _path(self, group: str) -> Path:
        return self.folder / f"{hashlib.sha256(group.encode()).hexdigest()[:24]}.spool"

    def _read(self, path: Path) -> Optional[Entry]:
        """The entry in a file. A damaged file is removed, with a warning; other files are left alone."""
        try:
            content = read_own(path, self._max_bytes + _MAX_HEADER)
        except OSError:
            return None  # not ours, or gone by now
        first, _, packed = content.partition(b"\n")
        if not first.startswith(_MAGIC):
            return None
        try:
            header = json.loads(first[len(_MAGIC) :])
            if header["sha256"] != hashlib.sha256(packed).hexdigest():
                raise ValueError("cut short or changed")
            unpacker = zlib.decompressobj()
            body = unpacker.decompress(packed, MAX_BODY_BYTES)
            if unpacker.unconsumed_tail:
                raise ValueError(f"more than {MAX_BODY_BYTES} bytes inflated")
            grouping_key(header["group"])
            if path != self._path(header["group"]) or not isinstance(header["gateway"], str):
                raise ValueError("the file of another group")
            return Entry(header["gateway"], header["group"], body)
        except Exception as why:  # whatever a damaged file can make of a parser
            _LOGGER.warning("%s is damaged (%s), and removed", path, why)
            remove(path)
            return None

    def _make_room(self, needed: int, keep: Optional[Path] = None) -> int:
        """Remove what is too old, then the oldest, until ``needed`` more bytes fit; returns how many were removed."""
        files = {path: status for path, status in self._files().items() if path != keep}
        used, dropped = sum(status.st_size for status in files.values()) + needed, 0
        for path, status in files.items():
            # A file from the future was written before the clock was set back: its age is unknown, so it stays.
            if time.time() - status.st_mtime > self._max_age or used > self._max_bytes:
                dropped += remove(path)
                used -= status.st_size
        return dropped


def open_spool(settings: Settings) -> Optional[Spool]:
    """The spool of the settings; ``None``, with a warning, if it cannot be used."""
    problem = ""
    for folder in spool_folders(settings):
        try:
            return Spool(folder, settings.spool_max_bytes, settings.spool_max_age)
        except OSError as why:
            problem = problem or f"spool_dir {folder} cannot be used ({why})"
    if problem:
        _LOGGER.warning("%s: the last state is lost if it cannot be pushed", problem)
    return None


def spool_folders(settings: Settings) -> Tuple[Path, ...]:
    """The folders to try for the spool; none if it is off."""
    if settings.spool_dir.lower() == "off":
        return ()
    if settings.spool_dir.lower() not in ("", "auto"):
        return (Path(settings.spool_dir),)
    name = f"sedna-metrics-{os.getuid()}"
    # Anybody can make the first one before us, to keep us from using it. (tempfile raises if it finds no folder.)
    folders = (Path(os.environ.get("TMPDIR") or "/tmp", name), Path(os.path.expanduser("~/.cache"), name))
    return tuple(folder for folder in folders if folder.is_absolute())  # a user may have no home
