"""Fields bound to the records of a thread or asyncio task."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, Mapping

from sedna_metrics._compat import ContextVar

_fields: ContextVar[Dict[str, Any]] = ContextVar("sedna_metrics_log_context")


def current() -> Mapping[str, Any]:
    """The fields bound in this context; one that is ``None`` has been removed."""
    return _fields.get({})


def bind(**fields: Any) -> None:
    """Add ``fields`` to every record of this thread or asyncio task from now on; ``None`` removes a field.

    They last until the surrounding :func:`log_context` ends or the log is closed.
    """
    _fields.set({**_fields.get({}), **fields})


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add ``fields`` to every record of the body, and of the asyncio tasks started in it."""
    token = _fields.set({**_fields.get({}), **fields})
    try:
        yield
    finally:
        with suppress(ValueError):  # a generator, closed by another task or thread than the one that began it
            token.var.reset(token)


def clear() -> None:
    """Forget all fields, in every thread and task."""
    global _fields
    _fields = ContextVar("sedna_metrics_log_context")
