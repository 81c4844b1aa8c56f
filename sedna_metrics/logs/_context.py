"""Fields bound to the records of a thread or asyncio task."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping

from sedna_metrics._compat import ContextVar

_context: ContextVar[Dict[str, Any]] = ContextVar("sedna_metrics_log_context")


def current() -> Mapping[str, Any]:
    """The fields bound in this context."""
    return _context.get({})


def bind(**fields: Any) -> None:
    """Add ``fields`` to every record of this thread or asyncio task from now on; ``None`` removes a field.

    They last until the surrounding :func:`log_context` ends or the log is closed.
    """
    merged = {**current(), **fields}
    _context.set({name: value for name, value in merged.items() if value is not None})


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add ``fields`` to every record of the body, and of the asyncio tasks started in it."""
    token = _context.set({**current(), **fields})
    try:
        yield
    finally:
        try:
            token.var.reset(token)
        except ValueError:
            pass  # a generator, closed by another task or thread than the one that began it


def clear() -> None:
    """Forget what is bound, in every thread and task."""
    global _context
    _context = ContextVar("sedna_metrics_log_context")
