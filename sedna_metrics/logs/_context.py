"""What is bound: fields on the records of a thread's or asyncio task's context."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Dict, FrozenSet, Iterator, Mapping, Optional, Tuple


class Bound:
    """The fields of one context. Never changed, except that a formatter keeps here what it made of them.

    Attributes:
        fields: value by name.
        lasting: names that come from :func:`bind`: they hold until logging is put back.
        era: which set-up of logging they were bound in.
        rendered: of the formatter's scope that asked last: the scope, the text, and the names in it.
    """

    __slots__ = ("era", "fields", "lasting", "rendered")

    def __init__(self, fields: Dict[str, Any], lasting: FrozenSet[str]) -> None:
        self.fields = fields
        self.lasting = lasting
        self.era = _era
        self.rendered: Optional[Tuple[object, str, FrozenSet[str]]] = None

    def current(self) -> Mapping[str, Any]:
        """The fields that still hold."""
        if self.era == _era or not self.lasting:
            return self.fields
        return {name: value for name, value in self.fields.items() if name not in self.lasting}


_era = 0
_NOTHING = Bound({}, frozenset())
CONTEXT: ContextVar[Bound] = ContextVar("sedna_metrics_log_context", default=_NOTHING)


def bind(**fields: Any) -> None:
    """Put ``fields`` on every record of this context (thread or asyncio task) from now on; ``None`` takes one off.

    They hold until the worker is closed, or until the function that is left by :func:`log_context` they stand in.
    """
    before = CONTEXT.get()
    merged = {**before.current(), **fields}
    kept = {name: value for name, value in merged.items() if value is not None}
    CONTEXT.set(Bound(kept, frozenset(name for name in (*before.lasting, *fields) if name in kept)))


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Put ``fields`` on every record of the body, and of asyncio tasks that are started in it."""
    before = CONTEXT.get()
    token = CONTEXT.set(Bound({**before.current(), **fields}, before.lasting - frozenset(fields)))
    try:
        yield
    finally:
        try:
            CONTEXT.reset(token)
        except ValueError:
            # A generator that was closed by another task or thread than it began in: that one's context is its own.
            return


def begin_era() -> None:
    """Forget what was bound by :func:`bind`, in every context."""
    global _era
    _era += 1
