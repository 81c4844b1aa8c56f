"""URLs without their secrets."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

MAX_URL_LENGTH = 1000


def strip_secrets(url: object) -> str:
    """The URL (or plain path) without user info, query and fragment, cut to :data:`MAX_URL_LENGTH` characters.

    A presigned URL is a secret, and everybody can read labels. ``str()`` converts values that are not text; ``None``
    becomes an empty text, and a value that cannot be parsed becomes "unreadable".
    """
    if url is None:
        return ""
    try:
        text = str(url).encode("utf-8", "replace").decode("utf-8")
        parts = urlsplit(text)
    except Exception:  # of an object of the worker's own, or a ValueError of urlsplit
        return "unreadable"
    if not parts.netloc:
        # No "//": user info can stand in front just the same, and its name looks like a scheme.
        text = text.split("?")[0].split("#")[0].split(";")[0]
        first, slash, rest = text.partition("/")
        return (first.rpartition("@")[2] + slash + rest)[:MAX_URL_LENGTH]
    if "@" in parts.path and ":" in parts.netloc and "@" not in parts.netloc:
        return "unreadable"  # a secret with a slash in it: where it ends cannot be told
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.split(";")[0], "", ""))[:MAX_URL_LENGTH]
