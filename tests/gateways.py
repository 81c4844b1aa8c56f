"""A stand-in for a Pushgateway on a real socket, which misbehaves as it is told. Good behaviour is tested with the real
Pushgateway; a real one cannot be made to reset connections, to trickle or to lie.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional


class Request(NamedTuple):
    method: str
    path: str
    headers: Dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        zipped = self.headers.get("content-encoding") == "gzip"
        return (gzip.decompress(self.body) if zipped else self.body).decode()


#: Is given the connection and the request; gives whether the connection goes on.
Behaviour = Callable[[socket.socket, Request], bool]


def answer(status: str, headers: str = "", body: str = "") -> Behaviour:
    def behave(connection: socket.socket, request: Request) -> bool:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        connection.sendall(head.encode() + body.encode())
        return True

    return behave


good = answer("200 OK")


def close_after(connection: socket.socket, request: Request) -> bool:
    """Says nothing of closing, and closes."""
    good(connection, request)
    return False


def hang(connection: socket.socket, request: Request) -> bool:
    connection.settimeout(30)
    connection.recv(1)
    return False


def reset(connection: socket.socket, request: Request) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.sendall(b"HTTP/1.1 200")
    return False


def trickle(connection: socket.socket, request: Request) -> bool:
    """One byte now and then, each within any time limit for a single wait."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(600):
        time.sleep(0.05)
        connection.sendall(b"x")
    return False


def nonsense(connection: socket.socket, request: Request) -> bool:
    connection.sendall(b"\x00\xff SMTP ready\r\n\r\n")
    return False


class Gateway:
    """Answers with ``behaviour``, which may be changed at any time."""

    def __init__(self, behaviour: Behaviour = good, tls: Optional[ssl.SSLContext] = None) -> None:
        self.behaviour = behaviour
        self.requests: List[Request] = []
        self.accepted: List[Request] = []
        """Those that were answered well."""
        self.connections = 0
        self._tls = tls
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._open: List[socket.socket] = []
        self.url = f"{'https' if tls else 'http'}://localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection, connection.makefile("rb") as file:
                while True:
                    line = file.readline().decode().split()
                    if not line:
                        return
                    headers = {}
                    while True:
                        name, colon, value = file.readline().decode().partition(":")
                        if not colon:
                            break
                        headers[name.lower()] = value.strip()
                    body = file.read(int(headers.get("content-length", "0")))
                    request = Request(line[0], line[1], headers, body)
                    self.requests.append(request)
                    behaviour = self.behaviour
                    if not behaviour(connection, request):
                        return
                    if behaviour is good:
                        self.accepted.append(request)
        except (OSError, ValueError):
            return
