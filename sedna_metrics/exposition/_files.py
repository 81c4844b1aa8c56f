"""Files that several processes of a node share: written atomically, and owned by the process that holds their lock.

A lock is ``flock`` on an open file. The kernel releases it when the owner dies, and it works between containers that
share a host directory, where process ids mean nothing. Links and special files are never opened.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Optional

_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def check_private(folder: Path, forbidden: int = 0o077) -> None:
    """Unless it is a folder of this user, and no link, that gives others none of these rights, raise OSError."""
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder")
    if status.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user")
    if status.st_mode & forbidden:
        raise PermissionError(f"others may use {folder} (mode {status.st_mode & 0o777:o}): make it 0700")


def atomic_write(path: Path, content: bytes, sync: bool = True) -> None:
    """Write a file so that readers see the old content or the new one; with ``sync`` also after a power cut."""
    os.close(_replace(path, content, sync=sync))


def _replace(path: Path, content: bytes, mode: int = 0o600, sync: bool = True, lock: bool = False) -> int:
    """Put a new file in the place of an old one; returns its descriptor, with ``lock`` the one that holds its lock."""
    # Two threads, or a signal handler and the code below it, may write the same file.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, mode)
    try:
        os.fchmod(descriptor, mode)  # whatever the umask
        if lock:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        if sync:
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.close(descriptor)
        remove(temporary)
        raise
    return descriptor


def read_own(path: Path, limit: int) -> bytes:
    """The content of a regular file of this user, of at most ``limit`` bytes; others raise OSError."""
    with open(path, "rb", opener=lambda path, flags: os.open(path, flags | _SAFELY)) as file:
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
    lock = Lock(path)
    try:
        return lock.acquire(create=False) and lock.release()
    except OSError:
        return False


class Lock:
    """The lock of a file or folder at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: Optional[int] = None

    def acquire(self, create: bool = True) -> bool:
        """Take the lock if nobody holds it; with ``create`` make the file."""
        flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY  # others may own the file
        while True:
            descriptor = os.open(self.path, flags | _SAFELY, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            if self._is_at(descriptor):
                self._descriptor = descriptor
                return True
            os.close(descriptor)  # the last holder removed or replaced it between our opening and locking it

    def write(self, content: bytes) -> None:
        """Write the file, or replace it, for all users to read; it is locked before it can be seen."""
        descriptor = _replace(self.path, content, 0o644, lock=True)
        self.forget()
        self._descriptor = descriptor

    def release(self) -> bool:
        """Remove the file and release the lock; returns whether it was held, and the file could be removed."""
        is_removed = self._descriptor is not None and remove(self.path)
        self.forget()
        return is_removed

    def forget(self) -> None:
        """Only close the descriptor: in a forked child the lock stays the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_at(self, descriptor: int) -> bool:
        try:
            return os.fstat(descriptor).st_ino == os.stat(self.path).st_ino
        except FileNotFoundError:
            return False
