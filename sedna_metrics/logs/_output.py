"""Lines on their way to stdout, which may be a pipe that nobody reads.

A line is written by the thread that logs it, at once, where the stream takes it at once: then it is out even if the
process is killed in the next moment. Where it does not, the line waits in a bounded queue, which a thread empties as
the stream takes more; what finds the queue full is dropped and counted. Nobody who logs ever waits for a reader.

Whether a stream takes a line cannot be asked (another process may fill the pipe in between), only tried, without
blocking. ``O_NONBLOCK`` belongs to the open file description, which other processes share; so pipes and terminals are
opened once more, through /proc, and sockets are written to with ``MSG_DONTWAIT``. Where neither is possible it is the
thread that writes, always.
"""

from __future__ import annotations

import atexit
import os
import select
import socket
import stat
import threading
import time
import weakref
from collections import deque
from typing import Any, Callable, Deque, Optional

MAX_QUEUED_BYTES = 4 * 1024 * 1024
MAX_QUEUED_RECORDS = 10_000
FLUSH_SECONDS = 2.0
"""How long the end of a process waits for a stream that takes nothing."""

_POLL_SECONDS = 0.5
_BATCH_BYTES = 64 * 1024


class Output:
    """Writes lines to a stream, in order, each whole.

    Args:
        stream: a text stream; one without a file descriptor (StringIO) is written to as it is.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._write: Callable[[bytes], int]
        self._lock = threading.RLock()  # a signal's handler may log while this thread is in here
        self._queue: Deque[bytes] = deque()
        self._queued_bytes = 0
        self._busy = False
        self._blocked = False
        self._dropped = 0
        self._thread: Optional[threading.Thread] = None
        self._wake = threading.Event()
        self._closed = False
        self._fd: Optional[int] = None
        self._socket: Optional[socket.socket] = None
        self._waits = False
        self._open()
        _follow_forks(self)
        atexit.register(self.flush)

    def dropped(self) -> float:
        """How many lines were lost: the queue was full, or the stream is broken."""
        return float(self._dropped)

    def write(self, line: bytes) -> None:
        """Write a line, now or as soon as the stream takes it. Does not wait for a reader, does not raise."""
        with self._lock:
            if self._queue and (
                self._queued_bytes + len(line) > MAX_QUEUED_BYTES or len(self._queue) >= MAX_QUEUED_RECORDS
            ):
                self._dropped += 1
                return
            self._queue.append(line)
            self._queued_bytes += len(line)
            if self._waits:
                self._call_thread()
            elif not self._busy and not self._blocked:
                self._drain()

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Write what waits, within ``seconds``; gives whether all of it is out."""
        deadline = time.monotonic() + seconds
        while self._queue or (self._waits and self._busy):
            left = deadline - time.monotonic()
            if self._waits:
                if left <= 0:
                    return False
                with self._lock:
                    self._call_thread()
                time.sleep(min(0.005, left))  # for the thread, which alone may block
                continue
            with self._lock:
                if self._busy:
                    break  # called by a signal's handler, within a write of this thread, which goes on after it
                self._drain()
            if not self._queue or left <= 0:
                break
            self._wait(left)
        return not self._queue

    def close(self) -> None:
        """Flush, and give the file descriptor back. What is written after this is dropped and counted."""
        self.flush()
        atexit.unregister(self.flush)
        _outputs.discard(self)
        self._closed = True
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)
            if thread.is_alive():
                return  # it sits in a write that blocks, and needs the descriptor for that
        with self._lock:
            self._dropped += len(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            self._write = _write_nowhere
            self._waits = False
            self._release()

    def become_child(self) -> None:
        """In a forked child: what waits is the parent's to write; the thread and the lock are the parent's too."""
        self._lock = threading.RLock()
        self._queue = deque()
        self._queued_bytes = 0
        self._busy = self._blocked = False
        self._dropped = 0
        self._thread = None
        self._wake = threading.Event()

    def _open(self) -> None:
        try:
            number = self._stream.fileno()
            self._stream.flush()
            mode = os.fstat(number).st_mode
        except Exception:
            # No descriptor (StringIO, a test's capture), closed, or None where there is no stdout at all.
            self._write = self._write_text
            return
        self._write = self._write_fd
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(number))
            self._write = self._write_socket
        elif stat.S_ISREG(mode):
            self._fd = os.dup(number)
        else:
            try:
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                self._fd = os.open(f"/proc/self/fd/{number}", flags)
            except OSError:
                # No /proc, a pipe of another user's, or one without a reader.
                self._fd = os.dup(number)
                self._waits = True

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
        elif self._fd is not None:
            os.close(self._fd)
        self._fd = self._socket = None

    def _drain(self) -> None:
        # Whoever interrupts this (a signal's handler) leaves its line in the queue, and we take it along.
        while self._queue and not self._blocked:
            self._busy = True
            try:
                self._write_batch()
            finally:
                self._busy = False
        if self._queue:
            self._call_thread()

    def _write_batch(self) -> None:
        line = self._queue.popleft()
        try:
            written = self._write(line)
        except (BlockingIOError, InterruptedError):
            written = 0
        except Exception:
            # The reader is gone, the disk is full, the stream is closed.
            self._dropped += 1
            written = len(line)
        self._queued_bytes -= written
        if written < len(line):
            self._queue.appendleft(line[written:])
            self._blocked = True

    def _call_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            try:
                thread = threading.Thread(target=self._run, name="sedna-metrics-log", daemon=True)
                thread.start()
                self._thread = thread
            except RuntimeError:
                self._blocked = False  # the interpreter is going: whoever logs next tries again
                return
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            if not self._queue:
                self._wake.wait()
                self._wake.clear()
            elif self._waits:
                self._write_blocking()
            elif self._wait(_POLL_SECONDS):
                with self._lock:
                    if not self._busy:
                        self._drain()

    def _write_blocking(self) -> None:
        with self._lock:
            batch = b""
            count = 0
            while self._queue and len(batch) < _BATCH_BYTES:
                batch += self._queue.popleft()
                count += 1
            self._queued_bytes -= len(batch)
            self._busy = True
        try:
            while batch:
                try:
                    batch = batch[self._write(batch) :]
                except BlockingIOError:  # somebody made the descriptor non-blocking
                    self._wait(_POLL_SECONDS)
        except Exception:
            self._dropped += count
        finally:
            self._busy = False

    def _wait(self, seconds: float) -> bool:
        """Until the stream takes something, or for ``seconds``; gives whether it is worth a try."""
        number = self._socket.fileno() if self._socket is not None else self._fd
        if number is not None:
            poll = select.poll()
            poll.register(number, select.POLLOUT)
            if not poll.poll(seconds * 1000):
                return False
        self._blocked = False
        return True

    def _write_fd(self, data: bytes) -> int:
        assert self._fd is not None
        return os.write(self._fd, data)

    def _write_socket(self, data: bytes) -> int:
        assert self._socket is not None
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def _write_text(self, data: bytes) -> int:
        try:
            self._stream.write(data.decode())
            self._stream.flush()
        except BlockingIOError as why:
            raise OSError("a stream that cannot be waited for") from why
        return len(data)


def _write_nowhere(data: bytes) -> int:
    raise OSError("closed")


_outputs: weakref.WeakSet[Output] = weakref.WeakSet()
_follows_forks = False


def _follow_forks(output: Output) -> None:
    # Hooks cannot be taken off again, so that there is one for all outputs of a process.
    global _follows_forks
    _outputs.add(output)
    if not _follows_forks and hasattr(os, "register_at_fork"):
        _follows_forks = True
        os.register_at_fork(after_in_child=_after_fork_in_child)


def _after_fork_in_child() -> None:
    for output in list(_outputs):
        output.become_child()
