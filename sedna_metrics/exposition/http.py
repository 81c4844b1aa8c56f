"""The ``/metrics`` endpoint: a small HTTP server that a slow or hostile client cannot stop or fill.

There are at most :data:`MAX_CONNECTIONS`, each for one request of limited time; when more come, the oldest is closed. A
request's head is bounded, a body is never read.
"""

from __future__ import annotations

import base64
import errno
import hmac
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.errors import SettingError
from sedna_metrics.exposition._render import TEXT_TYPE, accepts_gzip, gzip
from sedna_metrics.settings import Settings

MAX_CONNECTIONS = 64
REQUEST_SECONDS = 20.0  # for a connection, from its beginning to the end of its answer
MAX_HEAD = 16 * 1024
JOIN_TIMEOUT_SECONDS = 2.0
_TICK_SECONDS = 0.5


class _Head:
    """A connection's input, of which at most :data:`MAX_HEAD` is read."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.close = inner.close
        self._left = MAX_HEAD

    def readline(self, limit: int) -> bytes:
        line: bytes = self._inner.readline(min(self._left + 1, limit))
        self._left -= len(line)
        if self._left < 0:
            raise ConnectionAbortedError("a request's head is too large")
        return line


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: apart, the second waits 40 ms for an acknowledgement

    def setup(self) -> None:
        self.request.settimeout(REQUEST_SECONDS)
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()  # here, not where connections are accepted: a client may take its time
        super().setup()
        self.rfile: Any = _Head(self.rfile)

    def handle(self) -> None:
        self.handle_one_request()  # only one: nothing that follows it can be taken for another

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._answer(200, b"ok\n")
        elif not self.server.is_authorized(self.headers.get("Authorization", "")):
            self._answer(401, b"Who are you?\n", headers={"WWW-Authenticate": 'Basic realm="sedna-metrics"'})
        elif path == "/metrics":
            self._metrics()
        elif path == "/":
            self._answer(200, b'<a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a>\n', "text/html")
        else:
            self._answer(404, b"There is /metrics and /healthz.\n")

    do_HEAD = do_GET

    def _metrics(self) -> None:
        body, headers = self.server.render(), {"Vary": "Accept-Encoding"}
        if accepts_gzip(self.headers.get("Accept-Encoding", "")):
            body, headers["Content-Encoding"] = gzip(body), "gzip"
        self._answer(200, body, TEXT_TYPE, headers)

    def _answer(
        self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8", headers: Mapping[str, str] = {}
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "sedna-metrics"

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not logged."""


class MetricsServer(ThreadingMixIn, TCPServer):
    """Answers scrapes in threads of its own; ``address`` is host and port, ``url`` that of /metrics."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    # On Linux SO_REUSEADDR lets a port in TIME_WAIT be taken again, not one that is listened on.
    allow_reuse_address = True
    timeout = _TICK_SECONDS

    def __init__(
        self, family: Any, address: Any, settings: Settings, render: Callable[[], bytes], boundary: ErrorBoundary
    ) -> None:
        self.address_family = family
        self.render = render
        self.boundary = boundary
        self._tls = tls_context(settings)
        self._authorization = _authorization(settings)
        self._deadlines: Dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self._is_closing = False
        super().__init__(address, _Handler)
        self.port: int = self.server_address[1]
        self.is_tls = self._tls is not None
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.host, settings.host)
        self.address = f"[{shown}]:{self.port}" if ":" in shown else f"{shown}:{self.port}"
        self.url = f"{'https' if self.is_tls else 'http'}://{self.address}/metrics"
        self._thread = threading.Thread(target=self._run, name="sedna-metrics-http", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self.server_close()
            raise

    def close(self) -> None:
        self._is_closing = True
        _shut_down(self.socket)  # wakes the thread up
        self._thread.join(JOIN_TIMEOUT_SECONDS)
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """In a forked child the threads do not exist."""
        self.socket.close()
        for connection in list(self._deadlines):
            socket.socket.close(connection)

    def is_authorized(self, header: str) -> bool:
        given = header.encode("utf-8", "replace")
        return self._authorization is None or hmac.compare_digest(given, self._authorization)

    def _run(self) -> None:
        while not self._is_closing:
            self.handle_request()  # returns after a tick at the latest
            with self._lock:
                for connection, deadline in self._deadlines.items():
                    if deadline < time.monotonic():
                        _shut_down(connection)

    # What socketserver calls:

    def get_request(self) -> Tuple[Any, Any]:
        try:
            connection, address = super().get_request()
        except OSError as why:
            if why.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(_TICK_SECONDS)  # the connection goes on waiting: without a pause this loop would spin
            raise
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._deadlines) >= MAX_CONNECTIONS:
                excess = min(self._deadlines, key=lambda each: self._deadlines[each])
                del self._deadlines[excess]
                _shut_down(excess)
            self._deadlines[request] = time.monotonic() + REQUEST_SECONDS
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._deadlines.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        # An OSError (TLS' among them) is a client that went away or spoke nonsense, and no failure of ours.
        if isinstance(error, Exception) and not isinstance(error, (OSError, ValueError)):
            self.boundary.record(error)


def serve(settings: Settings, render: Callable[[], bytes], boundary: ErrorBoundary) -> Optional[MetricsServer]:
    """Listen on the first free port of the settings' range; ``None`` if none is free."""
    host = settings.host
    try:  # bytes, because for a str Python imports its tables of IDNA
        found = socket.getaddrinfo(host.encode("ascii") or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as why:
        raise SettingError(f"host is {host!r}, which is no address ({why}); 0.0.0.0 or :: listens everywhere") from why
    family, address = found[0][0], found[0][4]
    for port in range(settings.port.first, settings.port.last + 1):
        try:
            return MetricsServer(family, (address[0], port, *address[2:]), settings, render, boundary)
        except OSError as why:
            if why.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise SettingError(f"cannot listen on {host!r} ({why}); 0.0.0.0 or :: listens everywhere") from why
            if why.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    return None


def tls_context(settings: Settings) -> Optional[ssl.SSLContext]:
    if not settings.tls_cert_file:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if hasattr(ssl, "TLSVersion"):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    else:  # Python 3.6
        context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    try:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file or None, password=lambda: "")
        if settings.tls_client_ca_file:
            context.load_verify_locations(settings.tls_client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as why:
        files = [settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file]
        raise SettingError(f"TLS cannot be set up from {', '.join(filter(None, files))}: {why}") from why
    return context


def _authorization(settings: Settings) -> Optional[bytes]:
    if not settings.auth_username:
        return None
    file = settings.auth_password_file
    try:
        password = Path(file).read_text("utf-8").strip() if file else settings.auth_password
        if not password:
            raise ValueError("it is empty")
    except (OSError, ValueError) as why:
        raise SettingError(f"auth_password_file {file!r} cannot be read: {why}") from why
    return b"Basic " + base64.b64encode(f"{settings.auth_username}:{password}".encode())


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # gone already
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
