"""Requests to servers that may be broken or hostile: bounded answers, no redirects, text that is safe to print."""

from __future__ import annotations

import re
import time
from typing import Optional

import requests


class Session(requests.Session):
    """A session that follows no redirect."""

    def get_redirect_target(self, resp: requests.Response) -> Optional[str]:
        """None: requests would read the whole body of a redirect, however long, even if it does not follow it."""
        return None


def read_bounded(answer: requests.Response, most: int, step: int, seconds: float = 60.0) -> bytes:
    """At most ``most`` bytes of the body of an answer with ``stream=True``, in steps, not decompressed.

    The rest is left after ``seconds``. More bytes raise ValueError, unless ``step`` is 1.
    """
    body, deadline = b"", time.monotonic() + seconds
    try:
        while len(body) < most and time.monotonic() < deadline:
            chunk = answer.raw.read(min(step, most - len(body)), decode_content=False)
            if not chunk:
                return body
            body += chunk
    finally:
        answer.close()
    if step > 1:
        raise ValueError(f"more than {most} bytes")
    return body


def printable(text: str) -> str:
    """Foreign text for a terminal or a log: on one line, without control characters."""
    return "".join(each if each.isprintable() else " " for each in text)


def reason(error: BaseException) -> str:
    """The innermost reason: requests wraps urllib3, which wraps the socket's own error."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error) or type(error).__name__
    return printable(re.sub(r"<[^>]*object at 0x[0-9a-f]+>:?\s*", "", text))[:300]
