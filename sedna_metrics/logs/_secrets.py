"""Masking of secrets in text and by the name of a field.

A log is read by more people than the secrets in it were meant for. What is masked: user info in URLs; in queries and
anywhere else the value of a name that says it is a secret (``token=``, ``X-Amz-Signature=``, ``"password": ``); and
the credentials of an ``Authorization`` header.
"""

from __future__ import annotations

import re
from typing import Tuple

MASK = "***"

#: Without one of these no pattern can match; looked for in lower-case text.
_HINTS: Tuple[str, ...] = ("://", "auth", "pass", "pwd", "token", "secret", "sig", "key", "credential", "cookie")

_NAME = (
    r"(?:[a-z0-9]+[_.-])*"
    r"(?:password|passwd|passphrase|pwd|secret|token|signature|sig|credentials?|cookie|auth|authorization"
    r"|(?:api|access|private|secret|account|signing|encryption|session|sas)[_-]?key|key[_-]?id|accesskeyid"
    r"|access[_-]?token|client[_-]?secret|secretaccesskey|sharedaccesssignature)"
)
_SECRET_NAME = re.compile(_NAME + r"\Z", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# No part of a pattern can match the same text in two ways: a hostile text costs linear time.
_USER_INFO = re.compile(r"(?<=://)[^\s/@\"'<>?#]*(?:@[^\s/@\"'<>?#]*)*(?=@)")
_AUTHORIZATION = re.compile(
    r"(?<![a-z0-9])((?:proxy-)?authorization[\"']?\s{0,3}[:=]\s{0,3}(?:[bu](?=[\"']))?[\"']?)"
    r"(?:(?:basic|bearer|digest|negotiate|token|apikey|aws4-hmac-sha256)\s{1,3})?[^\s,\"'}][^\r\n\"'}]*",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?<![a-z0-9])((?:bearer|basic)\s{1,3})[a-z0-9._~+/=-]{6,}", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?<![a-z0-9_.-])({_NAME}\\{{0,3}}[\"']?\s{{0,3}}[:=]\s{{0,3}}(?:[bu](?=[\"']))?\\{{0,3}})"
    r"(\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s&,;\"'(){}\[\]<>]+)",
    re.IGNORECASE,
)


def mask(text: str) -> str:
    """The text with its secrets masked; the same object where there is none."""
    if ":" not in text and "=" not in text and "earer " not in text and "asic " not in text:
        return text
    lower = text.lower()
    for hint in _HINTS:
        if hint in lower:
            break
    else:
        if "bearer " not in lower and "basic " not in lower:
            return text
    if "://" in text and "@" in text:
        text = _USER_INFO.sub(MASK, text)
    if "authorization" in lower:
        text = _AUTHORIZATION.sub(r"\1" + MASK, text)
    if "bearer " in lower or "basic " in lower:
        text = _SCHEME.sub(r"\1" + MASK, text)
    return _ASSIGNED.sub(_masked, text)


def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret: ``password``, ``apiKey``, ``X-Amz-Signature``."""
    return _SECRET_NAME.match(_CAMEL.sub("_", name[:200])) is not None


def _masked(match: re.Match[str]) -> str:
    value = match.group(2)
    if value[:1] in "\"'":
        return f"{match.group(1)}{value[0]}{MASK}{value[0]}"
    return match.group(1) + MASK
