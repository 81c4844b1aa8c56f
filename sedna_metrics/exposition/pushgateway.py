"""One push to a Pushgateway: the request, and what the answer means."""

from __future__ import annotations

import base64
import re
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from sedna_metrics.exposition._render import TEXT_TYPE, gzip

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.:-]*\Z")
_REDIRECTS = (301, 302, 307, 308)
_MAX_REDIRECTS = 3
_MAX_RETRY_AFTER = 300.0
_ANSWER_BYTES = 2000


class PushError(Exception):
    """A push did not arrive.

    Attributes:
        refused: the gateway will not take this very content, however often it is sent (a 4xx answer).
        retry_after: seconds that the gateway asked to wait, if it did.
        status: of the answer; ``None`` where there was none.
    """

    def __init__(
        self,
        message: str,
        refused: bool = False,
        retry_after: Optional[float] = None,
        status: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.refused = refused
        self.retry_after = retry_after
        self.status = status


@dataclass(frozen=True)
class Credentials:
    """How a client makes itself known. Files are read anew at each push: they are renewed under a running worker."""

    username: str = ""
    password: str = ""
    password_file: str = ""
    bearer_token: str = ""
    bearer_token_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def headers(self) -> Dict[str, str]:
        """The Authorization header, if there is one.

        Raises:
            OSError: a file cannot be read.
            ValueError: it is empty.
        """
        token = _read(self.bearer_token_file) or self.bearer_token
        if token:
            return {"Authorization": f"Bearer {token}"}
        if self.username:
            pair = f"{self.username}:{_read(self.password_file) or self.password}"
            return {"Authorization": "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")}
        return {}


def group_path(grouping_key: Mapping[str, str]) -> str:
    """The path of a group's URL. What is more than a plain name goes in as base64, which the Pushgateway's API offers.

    Slashes, percent signs, and the dots of "..": servers and proxies differ in what they make of them in a path.
    """
    parts = ["/metrics"]
    # The API wants "job" first; the order of the others does not matter to it.
    for name in sorted(grouping_key, key=lambda each: (each != "job", each)):
        value = grouping_key[name]
        if not _PLAIN.match(value):
            # A single "=" stands for the empty value.
            parts += [f"{name}@base64", base64.urlsafe_b64encode(value.encode("utf-8")).decode("ascii") or "="]
        else:
            parts += [name, value]
    return "/".join(parts)


class Pushgateway:
    """A Pushgateway, over a connection that is kept.

    Args:
        base: its URL; user info in it is used as basic auth.
        timeout: seconds to wait for a connection, and for each part of an answer.
        credentials: how to make oneself known.
    """

    def __init__(self, base: str, timeout: float, credentials: Optional[Credentials] = None) -> None:
        parts = urlsplit(base)
        credentials = credentials or Credentials()
        if parts.username and not credentials.username:
            base = base.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1)
            credentials = Credentials(
                **{**vars(credentials), "username": parts.username, "password": parts.password or ""}
            )
        self.base = base.rstrip("/")
        self._timeout = timeout
        self._credentials = credentials
        self._sockets = _Sockets()
        self._session = self._new_session()
        self._left: List[requests.Session] = []
        self._gzip = True

    def push(self, group: str, body: bytes) -> None:
        """Replace what the group (its URL's path) holds.

        Raises:
            PushError: it did not arrive; the message says why, and no secret.
        """
        if self._gzip:
            answer = self._request("PUT", group, gzip(body), {"Content-Encoding": "gzip"})
            if answer.status_code not in (400, 415):
                return self._check(answer)
            _read_out(answer)
            # A gateway before 1.5 does not know gzip; whether it was that, the same push without it tells.
            plain = self._request("PUT", group, body)
            self._gzip = plain.status_code >= 300
            return self._check(plain)
        return self._check(self._request("PUT", group, body))

    def delete(self, group: str) -> None:
        """Remove a group.

        Raises:
            PushError: it was not removed.
        """
        self._check(self._request("DELETE", group, b""))

    def groups(self) -> List[Dict[str, Any]]:
        """What the gateway holds: a dict of ``labels`` and metrics for each group.

        Raises:
            PushError: it did not say.
        """
        answer = self._request("GET", "/api/v1/metrics", b"", stream=False)
        self._check(answer)
        try:
            groups: List[Dict[str, Any]] = answer.json()["data"]
        except (ValueError, KeyError, TypeError) as why:
            raise PushError(f"{self.base} does not answer as a Pushgateway does ({type(why).__name__})") from why
        return groups

    def abort(self) -> None:
        """Break off what is under way in another thread: its call ends with an error, soon."""
        self._sockets.shut_down()

    def close(self) -> None:
        """Let the connections go."""
        for session in (self._session, *self._left):
            session.close()

    def renew(self) -> None:
        """Go on with a new connection: the old one hangs, or is the parent's of this forked child."""
        self._left.append(self._session)
        self._session = self._new_session()

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(self._sockets))
        return session

    def _request(
        self, method: str, path: str, body: bytes, headers: Optional[Mapping[str, str]] = None, stream: bool = True
    ) -> requests.Response:
        url = self.base + path
        credentials = self._credentials
        try:
            own = credentials.headers()
            for _ in range(_MAX_REDIRECTS + 1):
                answer = self._session.request(
                    method,
                    url,
                    data=body,
                    headers={"Content-Type": TEXT_TYPE, **own, **(headers or {})},
                    auth=_keep_headers,
                    timeout=self._timeout,
                    verify=credentials.ca_file or True,
                    cert=self._client_certificate(),
                    # requests would follow by itself, but turn a PUT into a GET, and call the result a success.
                    allow_redirects=False,
                    stream=stream,
                )
                target = urljoin(url, answer.headers.get("Location", ""))
                if answer.status_code not in _REDIRECTS or target == url:
                    return answer
                answer.close()
                if _origin(target) != _origin(url) and not _is_upgrade(url, target):
                    own = {}  # another server is not told our password
                url = target
        except (requests.RequestException, OSError, ValueError) as why:
            raise PushError(f"{self.base}: {_reason(why)}") from None
        raise PushError(f"{self.base} redirects in circles", refused=True)

    def _client_certificate(self) -> Any:
        certificate, key = self._credentials.cert_file, self._credentials.key_file
        return (certificate, key) if certificate and key else certificate or None

    def _check(self, answer: requests.Response) -> None:
        status, said = answer.status_code, _read_out(answer)
        if status < 300:
            return
        text = " ".join(said.decode("utf-8", "replace").split())[:300]
        raise PushError(
            f"{self.base} answered {status} {answer.reason or ''}: {text}".rstrip(": "),
            # 408 and 429 say "not now", 401 and 403 may be mended by a renewed token; the others mean this content.
            refused=400 <= status < 500 and status not in (401, 403, 404, 408, 429),
            retry_after=_retry_after(answer.headers.get("Retry-After", "")),
            status=status,
        )


class _Sockets:
    """The sockets in use, so that another thread can shut them down: a time limit on a request holds for each wait for
    data, not for the whole, and a server that sends a byte now and then would hold us for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: List[socket.socket] = []

    def note(self, sock: Any) -> None:
        with self._lock:
            self._latest = [*self._latest[-3:], sock]

    def shut_down(self) -> None:
        with self._lock:
            for sock in self._latest:
                try:
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
                except OSError:
                    pass  # closed already
            self._latest = []


class _Adapter(HTTPAdapter):
    """An adapter whose connections note their sockets."""

    def __init__(self, sockets: _Sockets) -> None:
        self._sockets = sockets
        super().__init__(pool_connections=2, pool_maxsize=1)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        return self._noting(super().get_connection_with_tls_context(*args, **kwargs))

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:  # requests before 2.32
        return self._noting(super().get_connection(*args, **kwargs))

    def _noting(self, pool: Any) -> Any:
        if "ConnectionCls" not in vars(pool):
            sockets = self._sockets

            class Connection(pool.ConnectionCls):  # type: ignore[misc]
                def connect(self) -> None:
                    super().connect()
                    sockets.note(self.sock)

            pool.ConnectionCls = Connection
        return pool


def _keep_headers(request: Any) -> Any:
    # Without an auth of ours, requests would put in what it finds in a .netrc file.
    return request


def _read(path: str) -> str:
    if not path:
        return ""
    text = Path(path).read_text(encoding="utf-8").strip()
    if not text:
        raise ValueError(f"{path} is empty")  # it is being written anew: better no push than one without a password
    return text


def _read_out(answer: requests.Response) -> bytes:
    """What the answer says, and its end: read to it where that is near, so that the connection can be kept."""
    said = b""
    try:
        for chunk in answer.iter_content(_ANSWER_BYTES):
            said += chunk
            if len(said) >= _ANSWER_BYTES:
                break
    except (requests.RequestException, OSError):
        pass  # the status tells enough
    finally:
        answer.close()
    return said


def _origin(url: str) -> Tuple[str, Optional[str], Optional[int]]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _is_upgrade(url: str, target: str) -> bool:
    before, after = urlsplit(url), urlsplit(target)
    return before.hostname == after.hostname and (before.scheme, after.scheme) == ("http", "https")


def _retry_after(header: str) -> Optional[float]:
    # A date is allowed too; clocks at the edge are not what to build on, so that it counts as not said.
    return min(float(header), _MAX_RETRY_AFTER) if header.strip().isdecimal() and len(header) < 10 else None


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom: requests wraps urllib3, which wraps the socket's own error."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error) or type(error).__name__
    return re.sub(r"<[^>]*object at 0x[0-9a-f]+>:?\s*", "", text)[:300]
