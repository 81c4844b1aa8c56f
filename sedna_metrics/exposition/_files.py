"""Files that several processes of a node share: written atomically, and owned by the process that holds their lock.

A lock is ``flock`` on an open file. The kernel releases it when the owner dies, and it works between containers that
share a host directory, where process ids mean nothing. Links and special files are never opened.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Optional, Union

_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def atomic_write(path: Path, content: bytes, mode: int = 0o600, lock: bool = False) -> int:
    """Write a file so that readers see the old content or the new one, also after a power cut.

    Returns a descriptor of the new file; with ``lock`` it holds the file's lock until it is closed.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")  # two threads may write the same file
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _SAFELY, mode)
    try:
        os.fchmod(descriptor, mode)  # whatever the umask
        if lock:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.close(descriptor)
        remove(temporary)
        raise
    return descriptor


def read_own(path: str, limit: int, folder: Optional[int] = None) -> bytes:
    """The content of a regular file of this user, of at most ``limit`` bytes; others raise OSError."""
    with open(path, "rb", opener=lambda path, flags: os.open(path, flags | _SAFELY, dir_fd=folder)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > limit:
            raise OSError(f"{path} is not a file of this user of at most {limit} bytes")
        return file.read(limit)


def remove(path: Path) -> bool:
    """Remove a file; returns whether it was there and could be removed."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def remove_if_abandoned(path: Path) -> bool:
    """Remove a file whose lock nobody holds; returns whether it was removed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _SAFELY)  # it may be of a user whose files we cannot write
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its owner may have restarted in between, and put a new file in its place.
        return is_at(descriptor, path) and remove(path)
    except OSError:
        return False  # its owner lives
    finally:
        os.close(descriptor)


class Lock:
    """A lock file that exists only while somebody holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: Optional[int] = None

    def acquire(self) -> bool:
        """Take the lock if nobody holds it."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            if is_at(descriptor, self._path):
                self._descriptor = descriptor
                return True
            os.close(descriptor)  # the last holder removed the file between our opening and locking it

    def release(self) -> None:
        """Remove the file and release the lock."""
        if self._descriptor is not None:
            remove(self._path)
            self.forget()

    def forget(self) -> None:
        """Only close the descriptor: in a forked child the lock stays the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_at(descriptor: int, path: Union[str, Path]) -> bool:
    """Whether the open file or folder is still the one at this path."""
    try:
        return os.fstat(descriptor).st_ino == os.stat(path).st_ino
    except FileNotFoundError:
        return False
