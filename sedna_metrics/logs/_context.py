"""Fields bound to the records of a thread or asyncio task."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping

from sedna_metrics._compat import ContextVar

_blocks: ContextVar[Dict[str, Any]] = ContextVar("sedna_metrics_log_context")
_bound: ContextVar[Dict[str, Any]] = ContextVar("sedna_metrics_log_bound")


def current() -> Mapping[str, Any]:
    """The fields bound in this context; one that is ``None`` has been removed."""
    blocks, bound = _blocks.get({}), _bound.get({})
    return {**blocks, **bound} if bound else blocks


def bind(**fields: Any) -> None:
    """Add ``fields`` to every record of this thread or asyncio task from now on; ``None`` removes a field.

    They last until the surrounding :func:`log_context` ends or the log is closed.
    """
    _bound.set({**_bound.get({}), **fields})


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add ``fields`` to every record of the body, and of the asyncio tasks started in it."""
    still_bound = {name: value for name, value in _bound.get({}).items() if name not in fields}
    tokens = _blocks.set({**_blocks.get({}), **fields}), _bound.set(still_bound)
    try:
        yield
    finally:
        for token in tokens:
            try:
                token.var.reset(token)
            except ValueError:
                pass  # a generator, closed by another task or thread than the one that began it


def clear() -> None:
    """Forget what :func:`bind` has bound, in every thread and task."""
    global _bound
    _bound = ContextVar("sedna_metrics_log_bound")
