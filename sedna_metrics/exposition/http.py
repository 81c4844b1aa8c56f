"""The ``/metrics`` endpoint: a small HTTP server that a slow or hostile client cannot stop or fill.

At most :data:`MAX_CONNECTIONS` at a time, each with :data:`REQUEST_SECONDS` for a request to come in whole; when more
come, the one that has waited longest for its next request goes. A request's head is bounded, a body is never read.
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
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.errors import SettingError
from sedna_metrics.exposition._render import Renderer
from sedna_metrics.settings import PortRange

MAX_CONNECTIONS = 64
REQUEST_SECONDS = 10.0
IDLE_SECONDS = 120.0
"""How long a connection may wait for its next request: longer than a scrape interval, so that Prometheus keeps its."""

MAX_HEAD = 16 * 1024
JOIN_TIMEOUT_SECONDS = 2.0
_TICK_SECONDS = 0.5


@dataclass(frozen=True)
class Access:
    """Who may scrape, and how: TLS, client certificates, basic auth.

    The certificate's files are read when the server starts.
    """

    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    username: str = ""
    password: str = ""
    password_file: str = ""

    def context(self) -> Optional[ssl.SSLContext]:
        """TLS as configured; ``None`` for plain HTTP.

        Raises:
            SettingError: a file cannot be used, or they do not go together.
        """
        if not self.cert_file:
            if self.key_file or self.client_ca_file:
                raise SettingError("tls_key_file and tls_client_ca_file need tls_cert_file")
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert_file, self.key_file or None, password=lambda: "")
            if self.client_ca_file:
                context.load_verify_locations(self.client_ca_file)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as why:
            raise SettingError(
                f"TLS cannot be set up from tls_cert_file {self.cert_file!r}, tls_key_file {self.key_file!r}, "
                f"tls_client_ca_file {self.client_ca_file!r}: {why}"
            ) from why
        return context

    def authorization(self) -> Optional[bytes]:
        """What a request's Authorization header has to say; ``None`` if nothing.

        Raises:
            SettingError: the password file cannot be read, or there is a name without a password.
        """
        if not self.username:
            return None
        try:
            password = Path(self.password_file).read_text("utf-8").strip() if self.password_file else self.password
        except (OSError, UnicodeError) as why:
            raise SettingError(f"auth_password_file {self.password_file!r} cannot be read: {why}") from why
        if not password:
            raise SettingError("auth_username needs auth_password or auth_password_file")
        return b"Basic " + base64.b64encode(f"{self.username}:{password}".encode())


class _Head:
    """A connection's input, of which one request's head may take no more than :data:`MAX_HEAD`."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.left = MAX_HEAD

    def readline(self, limit: Optional[int] = -1) -> bytes:
        line: bytes = self._inner.readline(min(self.left + 1, limit if limit is not None and limit >= 0 else MAX_HEAD))
        self.left -= len(line)
        if self.left < 0:
            raise ConnectionAbortedError("a request's head is too large")
        return line

    def close(self) -> None:
        self._inner.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: apart, the second waits 40 ms for an acknowledgement

    def setup(self) -> None:
        self.request.settimeout(REQUEST_SECONDS)
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()  # here, not where connections are accepted: a client may take its time
        super().setup()
        self.rfile: Any = _Head(self.rfile)
        self._has_served = False

    def handle_one_request(self) -> None:
        self.rfile.left = MAX_HEAD
        if self._has_served:
            self.request.settimeout(IDLE_SECONDS)
            self.server.note(self.request, waits=True)
        super().handle_one_request()
        self._has_served = True

    def parse_request(self) -> bool:
        self.request.settimeout(REQUEST_SECONDS)
        self.server.note(self.request, waits=False)
        good = super().parse_request()
        # What follows a head that announces a body is not a request, whatever it looks like.
        if good and (self.headers.get("Transfer-Encoding") or self.headers.get_all("Content-Length", ["0"]) != ["0"]):
            self.close_connection = True
        return good

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._answer(200, b"ok\n")
        elif not self.server.allows(self.headers.get("Authorization", "")):
            self._answer(401, b"Who are you?\n", headers={"WWW-Authenticate": 'Basic realm="sedna-metrics"'})
        elif path == "/metrics":
            self._metrics()
        elif path == "/":
            self._answer(200, b'<a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a>\n', "text/html")
        else:
            self._answer(404, b"There is /metrics and /healthz.\n")

    do_HEAD = do_GET

    def _metrics(self) -> None:
        try:
            body, content_type, encoding = self.server.renderer.negotiate(
                self.headers.get("Accept", ""), self.headers.get("Accept-Encoding", "")
            )
        except Exception as error:
            self.server.boundary.record(error)
            return self._answer(500, b"The metrics cannot be shown; the worker's log says why.\n")
        headers = {"Content-Encoding": encoding} if encoding else {}
        return self._answer(200, body, content_type, {**headers, "Vary": "Accept, Accept-Encoding"})

    def _answer(
        self,
        status: int,
        body: bytes,
        content_type: str = "text/plain; charset=utf-8",
        headers: Optional[Dict[str, str]] = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "sedna-metrics"

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not the worker's news."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    # On Linux SO_REUSEADDR lets a port in TIME_WAIT be taken again, not one that is listened on.
    allow_reuse_address = True

    def __init__(
        self, family: socket.AddressFamily, address: Any, renderer: Renderer, boundary: ErrorBoundary, access: Access
    ) -> None:
        self.address_family = family
        self.renderer = renderer
        self.boundary = boundary
        self._tls = access.context()
        self._authorization = access.authorization()
        self.timeout = _TICK_SECONDS
        self._connections: Dict[socket.socket, Tuple[float, bool]] = {}  # since when, and whether it only waits
        self._connections_lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for a name, which may take seconds at the edge.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def allows(self, authorization: str) -> bool:
        """Whether this Authorization header opens the door, told in constant time."""
        return self._authorization is None or hmac.compare_digest(
            authorization.encode("utf-8", "replace"), self._authorization
        )

    def get_request(self) -> Tuple[Any, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            excess = None
            if len(self._connections) >= MAX_CONNECTIONS:
                # Who only waits goes before who is at it, and who has been longest before the others.
                states = self._connections
                excess = min(states, key=lambda each: (not states[each][1], states[each][0]))
                states.pop(excess)
            self._connections[request] = (time.monotonic(), False)
        if excess is not None:
            _shut_down(excess)
        super().process_request(request, client_address)

    def note(self, connection: socket.socket, waits: bool) -> None:
        """A connection waits for its next request from now on, or one has begun to come in."""
        with self._connections_lock:
            if connection in self._connections:
                self._connections[connection] = (time.monotonic(), waits)

    def service_actions(self) -> None:
        # The socket's own time limit is for each byte; this one is for the whole.
        now = time.monotonic()
        with self._connections_lock:
            late = [
                connection
                for connection, (since, waits) in self._connections.items()
                if now - since > (IDLE_SECONDS if waits else 2 * REQUEST_SECONDS)
            ]
        for connection in late:
            _shut_down(connection)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        # An OSError (TLS' among them) is a client that went away or spoke nonsense, and no failure of ours.
        if isinstance(error, Exception) and not isinstance(error, (OSError, ValueError)):
            self.boundary.record(error)


class MetricsServer:
    """A server that answers scrapes in threads of its own.

    Attributes:
        url: where it answers.
        port: the port that was free.
    """

    def __init__(self, server: _Server, host: str) -> None:
        self._server = server
        self.port: int = server.server_port
        self.is_tls = server._tls is not None
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
        self.address = f"[{shown}]:{self.port}" if ":" in shown else f"{shown}:{self.port}"
        self.url = f"{'https' if self.is_tls else 'http'}://{self.address}/metrics"
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="sedna-metrics-http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._is_closing = True
        self._poke()
        self._thread.join(JOIN_TIMEOUT_SECONDS)
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """Only close the descriptors: in a forked child the threads do not exist."""
        self._server.socket.close()
        for connection in list(self._server._connections):
            socket.socket.close(connection)

    def _run(self) -> None:
        while not self._is_closing:
            self._server.handle_request()  # returns after a tick at the latest
            self._server.service_actions()

    def _poke(self) -> None:
        """Make the thread look up now, not at its next tick."""
        host = self._server.server_address[0]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), str(host))
        try:
            with socket.create_connection((host, self.port), timeout=0.5):
                pass
        except OSError:
            return  # then it ends at its next tick


def serve(
    host: str, ports: PortRange, renderer: Renderer, boundary: ErrorBoundary, access: Optional[Access] = None
) -> Optional[MetricsServer]:
    """Listen on the first free port of the range.

    Returns:
        the server, or ``None`` where every port of the range is taken.

    Raises:
        SettingError: ``host`` is no address of this machine, or ``access`` cannot be set up.
        OSError: the machine has no socket to give.
        RuntimeError: it has no thread to give.
    """
    access = access or Access()
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as why:
        raise SettingError(f"host is {host!r}, which is no address ({why}); 0.0.0.0 or :: listens everywhere") from why
    for port in range(ports.first, ports.last + 1):
        try:
            server = _Server(family, (address[0], port, *address[2:]), renderer, boundary, access)
        except OSError as why:
            if why.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            if why.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise SettingError(f"cannot listen on {host!r} ({why}); 0.0.0.0 or :: listens everywhere") from why
            raise
        try:
            return MetricsServer(server, host)
        except RuntimeError:
            server.server_close()
            raise
    return None


def _shut_down(connection: socket.socket) -> None:
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        pass  # gone already
