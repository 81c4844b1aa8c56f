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
_SECRET_NAME = re.compile(rf"(?:{_NAME})\Z", re.IGNORECASE)
_SECRET_CAMEL_NAME = re.compile(rf"{_CAMEL_NAME}\Z|[a-z0-9]*(?:[aA]pi|[aA]ccess|[pP]rivate|[sS]ecret)Key\Z")
#: Counts and kinds of a language model's tokens.
_HARMLESS_NAME = re.compile(
    r"(?:.*[_.-])?(?:max|min|n|num|total|new|pad|eos|bos|unk|mask|sep|cls)[_-]?token\Z", re.IGNORECASE
)

# No two parts of a pattern match the same text, so that hostile text takes linear time.
_PREFIX, _ASSIGN = r"(?<![a-z0-9_.-])", r"\\{0,3}[\"']?\s{0,3}[:=]\s{0,3}(?:[bu](?=[\"']))?\\{0,3}"
_VALUE = r"(\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s&,;\"'(){}\[\]<>]+)"
_ASSIGNED = re.compile(rf"{_PREFIX}(({_NAME}){_ASSIGN}){_VALUE}", re.IGNORECASE)
_ASSIGNED_CAMEL = re.compile(rf"(?<![A-Za-z0-9])(({_CAMEL_NAME}){_ASSIGN}){_VALUE}")
_OPTION = re.compile(rf"(?<![a-z0-9-])(--({_NAME})[\"']?,?\s{{1,3}}){_VALUE}", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^\s/@\"'<>?#]*(?:@[^\s/@\"'<>?#]*)*(?=@)")
_HEADER = re.compile(
    r"(?<![a-z0-9])((?:(?:proxy-)?authorization|(?:set-)?cookie)[\"']?\s{0,3}[:=,]\s{0,3}(?:[bu](?=[\"']))?[\"']?)"
    r"(?:(?:basic|bearer|digest|negotiate|token|apikey|aws4-hmac-sha256)\s{1,3})?[^\s,\"'}][^\r\n\"'}]*",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?<![a-z0-9])((?:bearer|basic)\s{1,3})[a-z0-9._~+/=-]{6,}", re.IGNORECASE)
_WEB_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[^-]*(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?")


def mask(text: str) -> str:
    """The text with its secrets masked."""
    # No pattern matches a text that has none of these; most lines end here.
    if not ("=" in text or ":" in text or "," in text or "--" in text or "eyJ" in text):
        lower = text.lower() if len(text) > 10 else ""  # shorter ones have no room for a credential
        if "bearer" not in lower and "basic" not in lower:
            return text
    text = _USER_INFO.sub(MASK, text)
    text = _PRIVATE_KEY.sub(r"\1" + MASK, text)
    text = _WEB_TOKEN.sub(MASK, text)
    text = _HEADER.sub(r"\1" + MASK, text)
    text = _SCHEME.sub(r"\1" + MASK, text)
    for pattern in (_ASSIGNED, _ASSIGNED_CAMEL, _OPTION):
        text = pattern.sub(_masked, text)
    return text


@functools.lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret: ``password``, ``apiKey``, ``X-Amz-Signature``."""
    name = name[:200]
    if _HARMLESS_NAME.match(name):
        return False
    return bool(_SECRET_NAME.match(name) or _SECRET_CAMEL_NAME.match(name))


def _masked(match: re.Match[str]) -> str:
    value = match.group(3)
    if _HARMLESS_NAME.match(match.group(2)):
        return match.group(0)
    quote = value[0] if value[:1] in "\"'" else ""
    return f"{match.group(1)}{quote}{MASK}{quote}"
