"""The spool: what could not be pushed waits on disk for the next worker of the node, or for ``sedna-metrics flush``.

One file a group, with the group's latest state, since a push replaces the whole group anyway. A worker holds the lock
of its group while it lives; a file is delivered by somebody else only once that lock is free. So an older state never
goes out after a newer one of the same group, and no clock has a say in it.
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
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional

from sedna_metrics.exposition._files import Lock, make_folder, write_whole

_LOGGER = logging.getLogger("sedna_metrics")
_MAGIC = b"sedna-metrics-spool 1 "
_SUFFIX = ".spool"
_OURS = re.compile(r"[0-9a-f]{24}\.spool\Z")
_TEMPORARY = re.compile(r"\.[0-9a-f]{24}\.spool\.\d+\.tmp\Z")
_STALE_SECONDS = 3600.0
_MAX_HEADER = 8192


class Entry(NamedTuple):
    """What one file holds."""

    path: Path
    group: str
    """Path of the group's URL below the gateway's, such as ``/metrics/job/...``."""
    body: bytes


class Spool:
    """A folder of undelivered pushes.

    Args:
        folder: where; made if it is not there.
        max_bytes: how much all files together may take.
        max_age: seconds after which a file is worth nothing any more.
        in_public: the folder lies where everybody may write.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path, max_bytes: int, max_age: float, in_public: bool = False) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._max_age = max_age
        make_folder(folder, in_public)

    def lock(self, group: str) -> Lock:
        """The lock of a group, not taken yet."""
        return Lock(self.folder / f"{_name(group)}.lock")

    def put(self, group: str, body: bytes) -> int:
        """Keep a group's state, instead of an earlier one of the same group.

        Returns:
            how many older files of other groups had to go for it.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        packed = zlib.compress(body, 5)
        header = {"group": group, "sha256": hashlib.sha256(packed).hexdigest(), "length": len(packed)}
        content = _MAGIC + json.dumps(header).encode() + b"\n" + packed
        if len(content) > self._max_bytes:
            raise OSError(errno.EFBIG, f"{len(content)} bytes are more than the spool may take ({self._max_bytes})")
        dropped = self._make_room(len(content), keep=_name(group) + _SUFFIX)
        write_whole(self.folder / (_name(group) + _SUFFIX), content)
        return dropped

    def discard(self, group: str) -> None:
        """Forget a group's state: a newer one has arrived."""
        try:
            os.unlink(self.folder / (_name(group) + _SUFFIX))
        except OSError:
            return  # there was none; or the folder is read-only, and then nothing was put there either

    def entries(self) -> Iterator[Entry]:
        """What waits, oldest first. A torn file is removed, with a warning; a file of somebody else's is left alone."""
        for path in self._files():
            entry = self._read(path)
            if entry is not None:
                yield entry

    def __len__(self) -> int:
        return len(self._files())

    def expire(self) -> int:
        """Remove what is older than the limit, and what killed writers left; gives how many states that were."""
        for path in self.folder.iterdir():
            if _TEMPORARY.match(path.name) and time.time() - path.lstat().st_mtime > _STALE_SECONDS:
                self._remove(path)
        return self._make_room(0, keep="")

    def _files(self) -> List[Path]:
        try:
            ours = [path for path in self.folder.iterdir() if _OURS.match(path.name)]
            found = [(path.lstat().st_mtime, path) for path in ours]
        except OSError:
            return []  # the folder went away, or a file did while it was listed: next time
        return [path for _, path in sorted(found)]

    def _read(self, path: Path) -> Optional[Entry]:
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(descriptor, "rb") as file:
                first = file.readline(_MAX_HEADER)
                if not first.startswith(_MAGIC):
                    return None
                packed = file.read(self._max_bytes + 1)
        except OSError:
            return None  # a link, a folder, or gone by now
        try:
            header = json.loads(first[len(_MAGIC) :])
            if header["length"] != len(packed) or header["sha256"] != hashlib.sha256(packed).hexdigest():
                raise ValueError("cut short or changed")
            unpacker = zlib.decompressobj()
            body = unpacker.decompress(packed, 64 * self._max_bytes)
            group = header["group"]
            if not (isinstance(group, str) and group.startswith("/metrics/job")):
                raise ValueError(f"no group: {group!r}")
            return Entry(path, group, body)
        except (ValueError, KeyError, TypeError, zlib.error) as why:
            _LOGGER.warning("%s is damaged (%s), and removed", path, why)
            self._remove(path)
            return None

    def _make_room(self, needed: int, keep: str) -> int:
        """Remove what is too old, then the oldest, until ``needed`` more bytes fit; gives how many were removed."""
        files = []
        for path in self._files():
            try:
                status = path.lstat()
            except OSError:
                continue  # delivered by somebody else meanwhile
            files.append((path, status.st_mtime, status.st_size))
        used, now, dropped = sum(size for path, _, size in files if path.name != keep) + needed, time.time(), 0
        for path, modified, size in files:
            # A file from the future was written before the clock was set back: its age is not known, so it stays.
            if path.name != keep and (now - modified > self._max_age or used > self._max_bytes):
                dropped += self._remove(path)
                used -= size
        return dropped

    def _remove(self, path: Path) -> bool:
        try:
            os.unlink(path)
        except OSError:
            return False
        return True


def _name(group: str) -> str:
    return hashlib.sha256(group.encode("utf-8")).hexdigest()[:24]
