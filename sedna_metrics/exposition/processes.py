"""Between the processes of one worker: children tell the main process what they counted.

The main process listens on a local socket and adds what it is told to its own cells, so that ``/metrics`` and the push
are those of the whole worker, whatever the start method. A child keeps counting in its own memory (its hot path is the
same) and tells changes every :data:`INTERVAL_SECONDS` over a stream that delivers each of them once: what was sent
arrives even if the child is killed right after it, and nothing is left behind on disk.

The address and a token stand in an environment variable (:data:`sedna_metrics.settings.PARENT_VARIABLE`), which
children inherit. On Linux it is an abstract socket, elsewhere a loopback port.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import selectors
import socket
import struct
import sys
import threading
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.metrics import Change, Instruments, Snapshot, abandon, changes, merge, snapshot

INTERVAL_SECONDS = 0.4
"""Time between two reports: well under the second within which a killed child may lose what it counted."""

SEND_TIMEOUT_SECONDS = 10.0
"""A main process that takes nothing for so long is taken for gone; until then the kernel's buffer holds the reports."""
MAX_MESSAGE = 4 * 1024 * 1024
_LENGTH = struct.Struct("!I")


class Told(NamedTuple):
    """One report of a child's."""

    mentions: Dict[str, List[str]]
    """Tasks that the child uses, each with the attributes that it mentioned: the series of these exist."""
    changes: List[Change]
    errors: int
    """Failures inside the library since the last report."""
    rejected: int
    """Values refused since the last report."""


def digest(identity: Mapping[str, str]) -> str:
    """Tells workers apart: a process with another identity is a worker of its own, not a child."""
    return hashlib.sha256(json.dumps(sorted(identity.items())).encode()).hexdigest()[:16]


class Children:
    """The main process's end.

    Args:
        instruments: where changes are added.
        on_mentions: makes the series of what a child mentioned.
        boundary: told of what children's boundaries counted.
        identity: namespace, task and worker.
    """

    def __init__(
        self,
        instruments: Instruments,
        on_mentions: Callable[[Dict[str, List[str]]], None],
        boundary: ErrorBoundary,
        identity: Mapping[str, str],
    ) -> None:
        self._instruments = instruments
        self._on_mentions = on_mentions
        self._boundary = boundary
        self._token = secrets.token_hex(16)
        self._listener, address = _listen()
        self.variable = f"{address} {digest(identity)} {self._token}"
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._waker, wakened = socket.socketpair()
        self._wakened = wakened
        self._selector.register(wakened, selectors.EVENT_READ)
        self._connections: Dict[socket.socket, _Connection] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="sedna-metrics-children", daemon=True)
        self._thread.start()

    def drain(self) -> None:
        """Take in what children have told by now; never waits for them."""
        with self._lock:
            while not self._closed and self._take(0):
                pass

    def close(self) -> None:
        """Take in what has been told, and listen no longer."""
        with self._boundary:
            self.drain()
        with self._lock:
            self._closed = True
        self._waker.send(b"x")
        self._thread.join(2.0)
        self.release()

    def release(self) -> None:
        """Close the file descriptors and nothing else: for a forked child, where the thread does not exist."""
        for each in (self._listener, self._waker, self._wakened, *self._connections):
            each.close()
        self._selector.close()

    def _run(self) -> None:
        while True:
            # Waiting is done without the lock, so that a scrape can drain; what is ready is then taken under it.
            try:
                self._selector.select()
            except OSError:
                return
            with self._lock:
                if self._closed:
                    return
                with self._boundary:
                    self._take(0)

    def _take(self, timeout: float) -> bool:
        taken = False
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._listener:
                self._accept()
                taken = True
            elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._connections:
                self._read(key.fileobj)
                taken = True
        return taken

    def _accept(self) -> None:
        try:
            connection = self._listener.accept()[0]
        except OSError:
            return  # it gave up before its turn came
        connection.setblocking(False)
        self._connections[connection] = _Connection()
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, socket_: socket.socket) -> None:
        connection = self._connections[socket_]
        try:
            data = socket_.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            connection.buffer += data
            with self._boundary:
                if self._messages(connection):
                    return
        self._drop(socket_)

    def _messages(self, connection: _Connection) -> bool:
        """Take whole messages out of the buffer; whether the connection is to be kept."""
        while len(connection.buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(connection.buffer)
            if length > (MAX_MESSAGE if connection.is_child else 256):
                return False
            if len(connection.buffer) < _LENGTH.size + length:
                break
            message = bytes(connection.buffer[_LENGTH.size : _LENGTH.size + length])
            del connection.buffer[: _LENGTH.size + length]
            if not connection.is_child:
                # Abstract sockets know no permissions, and pods on their host's network see each other's.
                if not hmac.compare_digest(message, self._token.encode()):
                    return False
                connection.is_child = True
            else:
                self._add(Told(*json.loads(message)), connection)
        return True

    def _add(self, told: Told, connection: _Connection) -> None:
        self._on_mentions(told.mentions)
        merge(self._instruments, told.changes)
        self._boundary.add(told.errors, told.rejected)
        for name, labels, change in told.changes:
            if isinstance(change, list) and len(change) == 4:
                began = connection.durations.setdefault((name, tuple(labels)), [0, 0, 0])
                began[0] += change[0]
                began[1] += change[1]
                began[2] += sum(change[2])

    def _drop(self, socket_: socket.socket) -> None:
        connection = self._connections.pop(socket_)
        self._selector.unregister(socket_)
        socket_.close()
        with self._boundary:
            abandon(
                self._instruments,
                [
                    [name, list(labels), [started, failed, [finished], 0.0]]
                    for (name, labels), (started, failed, finished) in connection.durations.items()
                ],
            )


class _Connection:
    """What the main process knows of one child."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.is_child = False
        self.durations: Dict[Tuple[str, Tuple[str, ...]], List[int]] = {}


class Parent:
    """A child's end.

    Args:
        variable: the value of the variable.
        instruments: what is told of; what they hold now is the main process's already.
        mentions: gives the tasks and attributes in use.
        boundary: what it counts is told too.
    """

    def __init__(
        self,
        variable: str,
        instruments: Instruments,
        mentions: Callable[[], Dict[str, List[str]]],
        boundary: ErrorBoundary,
    ) -> None:
        self.variable = variable
        self._instruments = instruments
        self._mentions = mentions
        self._boundary = boundary
        self._connection: Optional[socket.socket] = None
        self._lock = threading.Lock()
        self._told: Snapshot = snapshot(instruments)
        self._told_guard = (int(boundary.errors()), int(boundary.rejected()))
        self._is_gone = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sedna-metrics-parent", daemon=True)
        self._thread.start()

    def connect(self) -> bool:
        """Connect now, not at the first report; gives whether the main process is there."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = connect(self.variable)
            except OSError:
                self._is_gone = True
            return not self._is_gone

    def tell(self) -> None:
        """Tell what has changed, if anything has; a main process that is gone is told nothing any more."""
        with self._boundary, self._lock:
            if self._is_gone:
                return
            now, counted = snapshot(self._instruments), (int(self._boundary.errors()), int(self._boundary.rejected()))
            changed = changes(self._told, now)
            if not changed and counted == self._told_guard:
                return
            told = Told(self._mentions(), changed, counted[0] - self._told_guard[0], counted[1] - self._told_guard[1])
            try:
                if self._connection is None:
                    self._connection = connect(self.variable)
                _send(self._connection, json.dumps(told).encode())
            except OSError:
                self._is_gone = True
                raise
            self._told, self._told_guard = now, counted

    def close(self) -> None:
        """Tell the rest, and let the connection go."""
        self._ending.set()
        self.tell()
        self.release()

    def release(self) -> None:
        """Close the file descriptor and nothing else: for a child's own forked child."""
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> None:
        while not self._ending.wait(INTERVAL_SECONDS):
            self.tell()


def connect(variable: str) -> socket.socket:
    """Connect to the main process.

    Raises:
        OSError: it is gone.
    """
    address, _, token = variable.split(" ")
    if address.startswith("@"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target: Any = "\0" + address[1:]
    else:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        target = ("127.0.0.1", int(address))
    connection.settimeout(SEND_TIMEOUT_SECONDS)
    try:
        connection.connect(target)
        _send(connection, token.encode())
    except OSError:
        connection.close()
        raise
    return connection


def is_child(variable: str, identity: Mapping[str, str]) -> bool:
    """Whether the variable names the main process of this very worker (which may be gone by now)."""
    parts = variable.split(" ")
    return len(parts) == 3 and parts[1] == digest(identity)


def _listen() -> Tuple[socket.socket, str]:
    if sys.platform == "linux":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        name = f"sedna-metrics-{os.getpid()}-{secrets.token_hex(8)}"
        listener.bind("\0" + name)
        address = "@" + name
    else:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        address = str(listener.getsockname()[1])
    listener.listen(128)
    listener.setblocking(False)
    return listener, address


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(message)) + message)
