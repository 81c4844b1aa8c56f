"""One push to a Pushgateway: the request, and what the answer means."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional
from urllib.parse import unquote, urlsplit, urlunsplit

import requests

from sedna_metrics._http import Session, printable, read_bounded, reason
from sedna_metrics.exposition._render import TEXT_TYPE, gzip
from sedna_metrics.settings import Settings

MAX_ANSWER_BYTES = 2000  # of an answer to a push; the rest is not read
MAX_GROUPS_BYTES = 32 << 20  # of a gateway's list of groups

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.:-]*\Z")
_LABELS = ("job", "instance", "namespace", "task", "worker_type")
_MAX_RETRY_AFTER = 300.0


class PushError(Exception):
    """A push did not arrive: the answer had this ``status``, or ``None`` came; ``retry_after`` are seconds to wait."""

    def __init__(self, message: str, status: Optional[int] = None, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def refused(self) -> bool:
        """Whether the gateway will not take this content, however often it is sent."""
        # 408 and 429 mean "not now"; 401, 403 and 404 may end with a renewed token or gateway.
        status = self.status or 0
        return 400 <= status < 500 and status not in (401, 403, 404, 408, 429)


def group_path(grouping_key: Mapping[str, str]) -> str:
    """The path of a group's URL. Values that are not plain names are base64: proxies differ on slashes and dots."""
    parts = ["/metrics"]
    for name in sorted(grouping_key, key=lambda each: (each != "job", each)):  # the API wants "job" first
        value = grouping_key[name]
        if _PLAIN.match(value):
            parts += [name, value]
        else:  # a single "=" stands for the empty value
            parts += [f"{name}@base64", base64.urlsafe_b64encode(value.encode("utf-8")).decode("ascii") or "="]
    return "/".join(parts)


def grouping_key(path: str) -> Dict[str, str]:
    """The grouping key of a path that :func:`group_path` has made for a worker; other paths raise ValueError."""
    parts = path.split("/")[2:]
    key: Dict[str, str] = {}
    for name, value in zip(parts[::2], parts[1::2]):
        if name.endswith("@base64"):
            name, value = name[: -len("@base64")], base64.urlsafe_b64decode(value.strip("=") + "==").decode("utf-8")
        key[name] = value
    if tuple(key) != _LABELS or group_path(key) != path:
        raise ValueError(f"not the group of a worker: {printable(path)}")
    return key


class Pushgateway:
    """The Pushgateway of the settings, over a connection that is kept.

    User info in the URL is used for basic auth, unless there is a user name. Files of passwords and tokens are read at
    each push, because they may be renewed. What fails raises PushError, whose message says why, without secrets.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        parts = urlsplit(settings.pushgateway_url)
        user_info, _, host = parts.netloc.rpartition("@")
        self._username, self._password = settings.pushgateway_username, settings.pushgateway_password
        if user_info and not self._username:
            username, _, password = user_info.partition(":")
            self._username, self._password = unquote(username), unquote(password)
        self.url = urlunsplit(parts._replace(netloc=host)).rstrip("/")
        self._session = Session()

    def push(self, group: str, body: bytes, timeout: Optional[float] = None) -> None:
        """Replace the content of the group at this path, within ``timeout`` seconds and PUSH_TIMEOUT."""
        self._check(self._request("PUT", group, body, timeout))

    def delete(self, group: str, timeout: Optional[float] = None) -> None:
        self._check(self._request("DELETE", group, timeout=timeout))

    def groups(self) -> List[Dict[str, Any]]:
        """All groups: a dict of ``labels`` and metrics for each."""
        answer = self._request("GET", "/api/v1/metrics")
        if answer.status_code >= 300:
            self._check(answer)
        try:
            groups: List[Dict[str, Any]] = json.loads(read_bounded(answer, MAX_GROUPS_BYTES, 1 << 16))["data"]
            return [group for group in groups if isinstance(group.get("labels"), dict)]
        except Exception as why:  # whatever a hostile gateway can make of a parser
            raise PushError(f"{self.url} does not answer as a Pushgateway does ({type(why).__name__})") from why

    def close(self) -> None:
        self._session.close()

    def _request(self, method: str, path: str, body: bytes = b"", timeout: Optional[float] = None) -> requests.Response:
        settings = self._settings
        certificate, key = settings.pushgateway_cert_file, settings.pushgateway_key_file
        try:
            headers = {"Content-Type": TEXT_TYPE, "Accept-Encoding": "identity", **self._authorization()}
            if body:
                body, headers["Content-Encoding"] = gzip(body), "gzip"
            return self._session.request(
                method,
                self.url + path,
                data=body,
                headers=headers,
                auth=lambda request: request,  # without one, requests would add what it finds in a .netrc file
                timeout=min(timeout or settings.push_timeout, settings.push_timeout),
                verify=settings.pushgateway_ca_file or True,
                cert=(certificate, key) if key else certificate or None,
                stream=True,
            )
        except (requests.RequestException, OSError, ValueError) as why:
            raise PushError(f"{self.url}: {reason(why)}") from None

    def _authorization(self) -> Dict[str, str]:
        settings = self._settings
        token = _read_file(settings.pushgateway_bearer_token_file) or settings.pushgateway_bearer_token
        if token:
            return {"Authorization": f"Bearer {token}"}
        if self._username:
            pair = f"{self._username}:{_read_file(settings.pushgateway_password_file) or self._password}"
            return {"Authorization": "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")}
        return {}

    def _check(self, answer: requests.Response) -> None:
        status = answer.status_code
        try:
            text = printable(
                read_bounded(answer, MAX_ANSWER_BYTES, 1, self._settings.push_timeout).decode("utf-8", "replace")
            )[:300]
        except (requests.RequestException, OSError, ValueError):
            text = ""  # the status says enough
        if status < 300:
            return
        if status < 400:
            # A redirect could lead the metrics and the password anywhere.
            text = f"it redirects to {printable(answer.headers.get('Location', ''))}: set that as the URL"[:300]
        raise PushError(
            f"{self.url} answered {status} {printable(answer.reason or '')}: {text}".rstrip(": "),
            status,
            _retry_after(answer.headers.get("Retry-After", "")),
        )


def _read_file(path: str) -> str:
    if not path:
        return ""
    text = Path(path).read_text(encoding="utf-8").strip()
    if not text:
        raise ValueError(f"{path} is empty")  # it is being renewed: better no push than one without a password
    return text


def _retry_after(header: str) -> Optional[float]:
    # Dates are not supported: clocks at the edge are often wrong.
    return min(float(header), _MAX_RETRY_AFTER) if header.strip().isdecimal() and len(header) < 10 else None
