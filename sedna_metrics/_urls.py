"""URLs without their secrets."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

MAX_URL_LENGTH = 1000


def strip_secrets(url: object) -> str:
    """The URL (or plain path) without user info, query and fragment, cut to :data:`MAX_URL_LENGTH` characters.

    A presigned URL is a secret, and labels are read by everybody. What is not text is taken as ``str()`` has it; what
    cannot be read as a URL at all becomes "unreadable".
    """
    text = str(url).encode("utf-8", "replace").decode("utf-8")
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
        text = urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return "unreadable"
    # Where there is no scheme, user info can stand in front of the path just the same.
    if not parts.scheme and "@" in text.split("/")[0]:
        text = text.partition("@")[2]
    return text[:MAX_URL_LENGTH]
