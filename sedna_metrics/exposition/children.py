"""Child processes: each writes what it has counted to a file; the main process adds the files to its own metrics.

The files are in a private folder of the main process. Children inherit its path in an environment variable
(:data:`sedna_metrics.settings.PARENT_VARIABLE`). A child writes its file every :data:`INTERVAL_SECONDS` and at its end,
so a killed child loses at most that much. The main process reads the files before each scrape and push. No process
waits for another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Tuple

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.exposition._files import Lock, atomic_write, check_private, read_own
from sedna_metrics.metrics import Instruments, Snapshot, end_calls, merge, parse, snapshot, subtract, to_rows

INTERVAL_SECONDS = 0.5
MAX_FILE_BYTES = 1 << 20
MAX_FILES = 1000
MAX_WAIT_SECONDS = 1.0

_PREFIX = "sedna-metrics-children-"
_TRIES = 5
_FILE = re.compile(r"(\d{1,9})-[0-9a-f]{8}\.json\Z")
_LOGGER = logging.getLogger("sedna_metrics")


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
        self._folder_lock = make_folder()
        self._folder = self._folder_lock.path
        self.variable = f"{_digest(identity)} {self._folder}"
        self._known: Dict[str, _Child] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def refresh(self) -> None:
        """Add what the children have written since the last call.

        Waits for another thread's refresh, so that a last push has all. No longer than :data:`MAX_WAIT_SECONDS`: that
        refresh may be what a signal handler has interrupted, or wait for a lock that the code below the handler holds.
        """
        if self._lock.acquire(timeout=MAX_WAIT_SECONDS):
            try:
                if not self._is_closed:
                    self._refresh()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Add what there is, and remove the folder."""
        with self._boundary:
            self.refresh()
        self._is_closed = True
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder_lock.forget()

    def after_fork_in_child(self) -> None:
        """In a forked child: the folder is the parent's, and so is its lock."""
        self._folder_lock.forget()

    def _refresh(self) -> None:
        if not self._folder.exists():
            return  # somebody has emptied the folder for temporary files
        check_private(self._folder)
        for name in os.listdir(self._folder)[:MAX_FILES]:
            match = _FILE.match(name)
            if match is None:
                continue
            path = self._folder / name
            is_alive = _is_alive(int(match.group(1)))  # asked first: a child that ends now has written its last
            status, known = os.lstat(path), self._known.get(name, _Child())
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != known.version:
                known = self._known[name] = known._replace(version=version)  # an invalid file is not read again
                with self._boundary:
                    known = self._known[name] = self._add(path, known)
            if not is_alive:
                with self._boundary:
                    os.unlink(path)  # first: what stays is known, and not added again
                    self._known.pop(name, None)
                    end_calls(self._instruments, known.values)

    def _add(self, path: Path, known: _Child) -> _Child:
        report = json.loads(read_own(path, MAX_FILE_BYTES))
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
        self._folder = Path(variable.partition(" ")[2])
        check_private(self._folder)
        self._path = self._folder / f"{os.getpid()}-{os.urandom(4).hex()}.json"
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
            if content != self._written and any(report.values()):
                check_private(self._folder)
                atomic_write(self._path, content, sync=False)
                self._written = content

    def close(self) -> None:
        """Write the rest, and stop."""
        self._is_ending = True
        self._try_to_write()

    def after_fork_in_child(self) -> None:
        """In a child's own forked child, which reports for itself: there is nothing to close."""

    def _run(self) -> None:
        while not self._is_ending:
            time.sleep(INTERVAL_SECONDS)
            self._try_to_write()

    def _try_to_write(self) -> None:
        with self._boundary:
            try:
                self.write()
            except OSError as why:
                self._is_ending = not self._folder.is_dir()  # the main process has ended
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
    except OSError as why:  # of another user by now: the file stays counted, which is right
        return not isinstance(why, ProcessLookupError)
    return True


def make_folder() -> Lock:
    """Make a private folder for temporary files, or in shared memory; remove those of main processes that were killed.

    Its lock, which is returned, is free as soon as this process is gone.
    """
    for _ in range(_TRIES):
        try:
            lock = Lock(Path(tempfile.mkdtemp(prefix=_PREFIX)))
        except OSError:
            lock = Lock(Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/dev/shm")))
        with suppress(FileNotFoundError):  # another start has found it without its lock, and removes it
            if lock.acquire(create=False):
                break
            shutil.rmtree(lock.path, ignore_errors=True)
    else:
        raise OSError(f"no lock on a folder such as {lock.path}")
    for left in list(lock.path.parent.glob(f"{_PREFIX}*"))[:MAX_FILES]:
        with suppress(OSError):  # not ours, or gone
            check_private(left)
            left_lock = Lock(left)
            if left_lock.acquire(create=False):
                shutil.rmtree(left, ignore_errors=True)
                left_lock.forget()
    return lock
