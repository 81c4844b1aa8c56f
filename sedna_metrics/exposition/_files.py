"""Files that several processes of a node share: written whole or not at all, and owned by who holds their lock.

A lock is ``flock`` on an open file: the kernel lets go of it when the owner dies, however it dies, and it works between
containers that share a folder of their node, where process numbers mean nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

try:
    import fcntl
except ImportError:  # Windows: a laptop; nobody else is there to be kept out
    fcntl = None  # type: ignore[assignment]

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def make_folder(folder: Path, in_public: bool = False) -> None:
    """Make a folder of our own, which nobody else can read.

    Args:
        folder: the folder.
        in_public: it lies where everybody may write (/tmp): somebody could have made it before us, to read what we put
            there or to plant files in it.

    Raises:
        OSError: it cannot be made, or is a link, or, in public, belongs to somebody else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink():
        raise NotADirectoryError(f"{folder} is a link")
    if in_public and hasattr(os, "getuid") and os.lstat(folder).st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")


def write_whole(path: Path, content: bytes, mode: int = 0o600, lock: bool = False) -> Optional[int]:
    """Write a file so that readers see the old content or the new one, and a power cut leaves one of them.

    Args:
        path: where to.
        content: what.
        mode: permissions.
        lock: hold the new file's lock from before it can be seen.

    Returns:
        the locked file's descriptor, to be kept open; ``None`` without ``lock``.

    Raises:
        OSError: the disk is full, the folder is not there or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NOFOLLOW, mode)
    keep = False
    try:
        if lock and fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
        keep = lock
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass  # the first error is the one to tell
        raise
    finally:
        if not keep:
            os.close(descriptor)
    return descriptor if keep else None


def is_owned(path: Path) -> bool:
    """Whether a living process holds the file's lock; False for a file that is gone."""
    if fcntl is None:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | _NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class Lock:
    """A lock file that is there only while somebody holds it.

    Args:
        path: the lock file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: Optional[int] = None

    def acquire(self) -> bool:
        """Take the lock if nobody holds it.

        Raises:
            OSError: the folder is not there or cannot be written.
        """
        if fcntl is None:
            return True
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | _NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            # The last holder may have removed the file between our opening and locking it.
            try:
                if os.fstat(descriptor).st_ino == os.stat(self._path).st_ino:
                    self._descriptor = descriptor
                    return True
            except FileNotFoundError:
                pass  # removed: try again with a new one
            os.close(descriptor)

    def release(self) -> None:
        """Remove the file and let the lock go."""
        if self._descriptor is None:
            return
        try:
            os.unlink(self._path)
        except OSError:
            pass  # the folder went away or became read-only; the lock goes with the descriptor
        self.forget()

    def forget(self) -> None:
        """Close the descriptor and nothing else: in a forked child the lock stays the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
