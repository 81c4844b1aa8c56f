"""Child processes: each writes what it has counted to a file; the main process adds the files to its own metrics.

The files are in a private folder of the main process. Children inherit its path in an environment variable
(:data:`sedna_metrics.settings.PARENT_VARIABLE`). A child writes its file every :data:`INTERVAL_SECONDS` and at its end,
so a killed child loses at most that much. The main process reads the files before each scrape and push. No process
waits for another.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.exposition._files import is_at, read_own
from sedna_metrics.metrics import Instruments, Snapshot, end_calls, merge, parse, snapshot, subtract, to_rows

INTERVAL_SECONDS = 0.5
MAX_FILE_BYTES = 1 << 20
MAX_FILES = 1000
MAX_WAIT_SECONDS = 1.0

_PREFIX = "sedna-metrics-children-"
_FILE = re.compile(r"(\d{1,9})-[0-9a-f]{8}\.json\Z")
_SHARED_MEMORY = "/dev/shm"
_LOGGER = logging.getLogger("sedna_metrics")


class Folder:
    """A private folder, opened as a descriptor so that nobody can put another in its place; others raise OSError."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._check()
        except OSError:
            self.close()
            raise

    @classmethod
    def create(cls) -> Folder:
        """Make one in the folder for temporary files, or in shared memory if that cannot be written."""
        while True:
            try:
                folder = cls(tempfile.mkdtemp(prefix=_PREFIX))
            except OSError:
                folder = cls(tempfile.mkdtemp(prefix=_PREFIX, dir=_SHARED_MEMORY))
            fcntl.flock(folder._descriptor, fcntl.LOCK_EX)  # free as soon as this process is gone
            if is_at(folder._descriptor, folder.path):
                break
            folder.close()  # another start has found it without its lock, and removed it
        for left in list(Path(folder.path).parent.glob(f"{_PREFIX}*"))[:MAX_FILES]:
            _remove_if_abandoned(str(left))
        return folder

    def names(self) -> List[str]:
        """The files in it."""
        self._check()
        return os.listdir(self._descriptor)[:MAX_FILES]

    def read(self, name: str) -> bytes:
        """A file's content."""
        return read_own(name, MAX_FILE_BYTES, self._descriptor)

    def version(self, name: str) -> Tuple[int, ...]:
        """Changes whenever the file does; empty if it is gone."""
        try:
            status = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return ()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def write(self, name: str, content: bytes) -> None:
        """Write a file; readers see its old content or the new one."""
        self._check()
        temporary = f".{name}.{os.urandom(4).hex()}"  # a signal handler may write amid this
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=self._descriptor), "wb") as file:
                file.write(content)
            os.replace(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except OSError:
            with suppress(OSError):
                self.remove(temporary)
            raise

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=self._descriptor)

    def close(self) -> None:
        """Close the descriptor; the folder stays."""
        os.close(self._descriptor)

    def _check(self) -> None:
        status = os.fstat(self._descriptor)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != 0o700:
            raise PermissionError(f"{self.path} is not a private folder of this user")


class _Child(NamedTuple):
    """One child's file, as it was last read."""

    version: Tuple[int, ...] = ()
    values: Snapshot = {}  # noqa: RUF012 - never changed
    errors: int = 0
    rejected: int = 0


class Children:
    """The main process's side: adds the children's values to its instruments and to the counts of its boundary."""

    def __init__(self, instruments: Instruments, boundary: ErrorBoundary, identity: Mapping[str, str]) -> None:
        self._instruments = instruments
        self._boundary = boundary
        self._folder = Folder.create()
        self.variable = f"{_digest(identity)} {self._folder.path}"
        self._known: Dict[str, _Child] = {}
        self._lock = threading.RLock()  # a signal handler may close amid a refresh
        self._is_busy = self._is_closed = False

    def refresh(self) -> None:
        """Add what the children have written since the last call."""
        with self._exclusive() as is_mine:
            if is_mine:
                self._refresh()

    def close(self) -> None:
        """Add what there is, and remove the folder."""
        with self._exclusive() as is_mine:
            if is_mine:
                with self._boundary:
                    self._refresh()
                shutil.rmtree(self._folder.path, ignore_errors=True)
                self._folder.close()
                self._is_closed = True

    def after_fork_in_child(self) -> None:
        """In a forked child: the folder is the parent's, and so is its lock."""
        self._folder.close()

    @contextmanager
    def _exclusive(self) -> Iterator[bool]:
        """Whether the files are this caller's: not if the folder is gone, or a signal handler calls amid a refresh.

        Waits for another thread's refresh, so that a last push has all. No longer than :data:`MAX_WAIT_SECONDS`: that
        thread may wait for a lock that the code below a signal handler holds.
        """
        if not self._lock.acquire(timeout=MAX_WAIT_SECONDS):
            yield False
            return
        was_busy = self._is_busy
        try:
            self._is_busy = True
            yield not (was_busy or self._is_closed)
        finally:
            self._is_busy = was_busy
            self._lock.release()

    def _refresh(self) -> None:
        for name in self._folder.names():
            match = _FILE.match(name)
            if match is None:
                continue
            is_alive = _is_alive(int(match.group(1)))  # asked first: a child that ends now has written its last
            version, known = self._folder.version(name), self._known.get(name, _Child())
            if version != known.version:
                known = self._known[name] = known._replace(version=version)  # an invalid file is not read again
                with self._boundary:
                    known = self._known[name] = self._add(name, known)
            if not is_alive:
                with self._boundary:
                    self._folder.remove(name)  # first: what stays is known, and not added again
                    self._known.pop(name, None)
                    end_calls(self._instruments, known.values)

    def _add(self, name: str, known: _Child) -> _Child:
        report = json.loads(self._folder.read(name))
        values = parse(report["values"])
        errors, rejected = int(report["errors"]), int(report["rejected"])
        merge(self._instruments, known.values, values)
        self._boundary.add(max(0, errors - known.errors), max(0, rejected - known.rejected))
        return _Child(known.version, {**known.values, **values}, errors, rejected)


class Reporter:
    """A child's side: reports what it counts from now on; OSError if the main process is gone."""

    def __init__(self, variable: str, instruments: Instruments, boundary: ErrorBoundary) -> None:
        self.variable = variable
        self._instruments = instruments
        self._boundary = boundary
        self._folder = Folder(variable.partition(" ")[2])
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}.json"
        self._before = snapshot(instruments)
        self._counts_before = (boundary.errors(), boundary.rejected())
        self._written = b""
        self._lock = threading.RLock()  # a signal handler may close amid a write
        self._is_ending = False
        threading.Thread(target=self._run, name="sedna-metrics-child", daemon=True).start()

    def write(self) -> None:
        """Write what was counted, if something has changed."""
        with self._lock:
            report: Dict[str, Any] = {
                "values": to_rows(subtract(snapshot(self._instruments), self._before)),
                "errors": int(self._boundary.errors() - self._counts_before[0]),
                "rejected": int(self._boundary.rejected() - self._counts_before[1]),
            }
            content = json.dumps(report).encode()
            if content != self._written and (report["values"] or report["errors"] or report["rejected"]):
                self._folder.write(self._name, content)
                self._written = content

    def close(self) -> None:
        """Write the rest, and stop."""
        self._is_ending = True
        self._try_to_write()

    def after_fork_in_child(self) -> None:
        """In a child's own forked child, which reports for itself."""
        self._folder.close()

    def _run(self) -> None:
        while not self._is_ending:
            time.sleep(INTERVAL_SECONDS)
            self._try_to_write()

    def _try_to_write(self) -> None:
        with self._boundary:
            try:
                self.write()
            except OSError as why:
                self._is_ending = not os.path.isdir(self._folder.path)  # the main process has ended
                message = "the counts of this child process were not added to its parent's metrics: %s"
                _LOGGER.warning(message, why)


def is_child(variable: str, identity: Mapping[str, str]) -> bool:
    """Whether the variable is that of this very worker: a process with another identity is a worker of its own."""
    return variable.partition(" ")[0] == _digest(identity)


def _digest(identity: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(identity.items())).encode()).hexdigest()[:16]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's by now: the file stays counted, which is right
    return True


def _remove_if_abandoned(path: str) -> None:
    """Remove the folder of a main process that was killed."""
    with suppress(OSError):  # not ours, gone, or its process lives
        folder = Folder(path)
        try:
            fcntl.flock(folder._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            folder.close()
