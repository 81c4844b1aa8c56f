"""Masks secrets in log text, and in fields whose name says that they hold one.

Masked are: user info in URLs; what is assigned to a secret's name (``token=``, ``"password": ``, ``--password x``,
``X-Amz-Signature=``); Authorization and Cookie headers; bearer tokens; JSON web tokens; PEM private keys.
"""

from __future__ import annotations

import functools
import re

MASK = "***"

_WORD = (
    r"(?:(?:pg|db|mysql|redis|smtp|ftp)?pass(?:word|wd|phrase)?|pwd|secret|token|signature|sig|credentials?|cookie|jwt"
    r"|auth|authorization|(?:api|access|private|secret|account|signing|encryption|session|sas)[_-]?key|key[_-]?id"
    r"|accesskeyid|secretaccesskey|sharedaccesssignature)"
)
_NAME = rf"(?:[a-z0-9]+[_.-])*{_WORD}"
_CAMEL_NAME = r"[A-Za-z0-9]*[a-z0-9](?:Password|Passwd|Token|Secret|Signature|Credentials?|Cookie|ApiKey|AccessKey)"
_SECRET_NAME = rf"(?i)(?:{_NAME})\Z"
_SECRET_CAMEL_NAME = rf"{_CAMEL_NAME}\Z|[a-z0-9]*(?:[aA]pi|[aA]ccess|[pP]rivate|[sS]ecret)Key\Z"
#: Counts and kinds of a language model's tokens.
_HARMLESS_NAME = r"(?i)(?:.*[_.-])?(?:max|min|n|num|total|new|pad|eos|bos|unk|mask|sep|cls)[_-]?token\Z"

# No two parts of a pattern match the same text, so that hostile text takes linear time.
_PREFIX, _ASSIGN = r"(?<![a-z0-9_.-])", r"\\{0,3}[\"']?\s{0,3}[:=]\s{0,3}(?:[bu](?=[\"']))?\\{0,3}"
_VALUE = r"(\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s&,;\"'(){}\[\]<>]+)"
_USER_INFO = r"(?<=://)[^\s/@\"'<>?#]*(?:@[^\s/@\"'<>?#]*)*(?=@)"
_PRIVATE_KEY = r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[^-]*(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
_WEB_TOKEN = r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"
_HEADER = (
    r"(?i)(?<![a-z0-9])((?:(?:proxy-)?authorization|(?:set-)?cookie)[\"']?\s{0,3}[:=,]\s{0,3}(?:[bu](?=[\"']))?[\"']?)"
    r"(?:(?:basic|bearer|digest|negotiate|token|apikey|aws4-hmac-sha256)\s{1,3})?[^\s,\"'}][^\r\n\"'}]*"
)
_SCHEME = r"(?i)(?<![a-z0-9])((?:bearer|basic)\s{1,3})[a-z0-9._~+/=-]{6,}"
_ASSIGNED = rf"(?i){_PREFIX}(({_NAME}){_ASSIGN}){_VALUE}"
_ASSIGNED_CAMEL = rf"(?<![A-Za-z0-9])(({_CAMEL_NAME}){_ASSIGN}){_VALUE}"
_OPTION = rf"(?i)(?<![a-z0-9-])(--({_NAME})[\"']?,?\s{{1,3}}){_VALUE}"

_compile = functools.lru_cache(maxsize=None)(re.compile)  # when first used: all of them take 3 ms


def mask(text: str) -> str:
    """The text with its secrets masked."""
    if not ("=" in text or ":" in text or "," in text or "--" in text or "eyJ" in text):
        lower = text.lower()  # the only secrets without one of these
        if "bearer" not in lower and "basic" not in lower:
            return text
    elif not _may_match(text):
        return text
    for pattern in (_USER_INFO, _WEB_TOKEN):
        text = _compile(pattern).sub(MASK, text)
    for pattern in (_PRIVATE_KEY, _HEADER, _SCHEME):
        text = _compile(pattern).sub(r"\1" + MASK, text)
    for pattern in (_ASSIGNED, _ASSIGNED_CAMEL, _OPTION):
        text = _compile(pattern).sub(_masked, text)
    return text


@functools.lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret: ``password``, ``apiKey``, ``X-Amz-Signature``."""
    name = name[:200]
    if not _may_match(name) or _compile(_HARMLESS_NAME).match(name):
        return False
    return bool(_compile(_SECRET_NAME).match(name) or _compile(_SECRET_CAMEL_NAME).match(name))


def _may_match(text: str) -> bool:
    """Whether any pattern can match: each needs one of these. Most texts have none."""
    folded = text.casefold()
    # A loop would take thrice the time.
    return (
        "@" in folded or "key" in folded or "auth" in folded or "token" in folded or "pass" in folded or "sig" in folded
        or "secret" in folded or "credential" in folded or "cookie" in folded or "pwd" in folded or "jwt" in folded
        or "eyj" in folded or "bearer" in folded or "basic" in folded
    )  # fmt: skip


def _masked(match: re.Match[str]) -> str:
    value = match.group(3)
    if _compile(_HARMLESS_NAME).match(match.group(2)):
        return match.group(0)
    quote = value[0] if value[:1] in "\"'" else ""
    return f"{match.group(1)}{quote}{MASK}{quote}"
