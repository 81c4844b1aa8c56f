"""The ``/metrics`` endpoint."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional

from sedna_metrics._guard import Guard
from sedna_metrics.errors import SettingError
from sedna_metrics.exposition._render import Renderer
from sedna_metrics.settings import PortRange

REQUEST_TIMEOUT_SECONDS = 10.0
JOIN_TIMEOUT_SECONDS = 2.0


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: apart, the second waits 40 ms for an acknowledgement
    timeout = REQUEST_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            headers = self.headers
            body, content_type, encoding = self.server.renderer.negotiate(
                headers.get("Accept", ""), headers.get("Accept-Encoding", "")
            )
            self._answer(200, body, content_type, encoding)
        elif path == "/healthz":
            self._answer(200, b"ok\n", "text/plain; charset=utf-8")
        elif path == "/":
            self._answer(200, b'<a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a>\n', "text/html")
        else:
            self._answer(404, b"There is /metrics and /healthz.\n", "text/plain; charset=utf-8")

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, content_type: str, encoding: Optional[str] = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if encoding:
            self.send_header("Content-Encoding", encoding)
            self.send_header("Vary", "Accept-Encoding")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "sedna-metrics"

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not the worker's news."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # On Linux SO_REUSEADDR lets a port in TIME_WAIT be taken again, not one that is listened on.
    allow_reuse_address = True

    def __init__(self, family: socket.AddressFamily, address: Any, renderer: Renderer, guard: Guard) -> None:
        self.address_family = family
        self.renderer = renderer
        self._guard = guard
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for a name, which may take seconds at the edge.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self._guard.swallow(error)  # an OSError is a client that went away, and no failure of ours


class MetricsServer:
    """A server that answers scrapes in threads of its own.

    Attributes:
        url: where it answers.
        port: the port that was free.
    """

    def __init__(self, server: _Server, host: str) -> None:
        self._server = server
        self.port: int = server.server_port
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
        self.url = f"http://[{shown}]:{self.port}/metrics" if ":" in shown else f"http://{shown}:{self.port}/metrics"
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.5}, name="sedna-metrics-http", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(JOIN_TIMEOUT_SECONDS)


def serve(host: str, ports: PortRange, renderer: Renderer, guard: Guard) -> Optional[MetricsServer]:
    """Listen on the first free port of the range.

    Returns:
        the server, or ``None`` where every port of the range is taken.

    Raises:
        SettingError: ``host`` is no address of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as why:
        raise SettingError(f"host is {host!r}, which is no address ({why}); 0.0.0.0 or :: listens everywhere") from why
    for port in range(ports.first, ports.last + 1):
        try:
            server = _Server(family, (address[0], port, *address[2:]), renderer, guard)
        except OSError as why:
            if why.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise SettingError(f"cannot listen on {host!r} ({why}); 0.0.0.0 or :: listens everywhere") from why
        return MetricsServer(server, host)
    return None
