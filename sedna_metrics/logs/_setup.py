"""Setting logging up, and putting it back."""

from __future__ import annotations

import logging
import os
import sys
import threading
from types import TracebackType
from typing import Any, Callable, List, Mapping, Optional, Type, Union

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.catalogue import log as contract
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.logs._context import begin_era
from sedna_metrics.logs._foreign import bring_in_foreign, without_terminal
from sedna_metrics.logs._formatters import (
    EVENT_ATTRIBUTE,
    Fields,
    JsonFormatter,
    Scope,
    TextFormatter,
    identity_fields,
)
from sedna_metrics.logs._handler import LineHandler
from sedna_metrics.logs._output import FLUSH_SECONDS, Output
from sedna_metrics.logs._uncaught import follow_uncaught

EVENTS = logging.getLogger("sedna_metrics.events")
"""Lifecycle events are records of this logger."""

_LEVELS = {event.name: getattr(logging, event.level) for event in contract.EVENTS}


class Log:
    """Logging as it is set up: what :func:`configure_logging` gives. A context manager, too.

    Args:
        style: ``json`` or ``text``.
        level: lowest level that is logged.
        identity: fields on every line of JSON.
        stream: a text stream.
        on_error: told of failures of ours.
    """

    def __init__(
        self, style: str, level: Union[str, int], identity: Mapping[str, Any], stream: Any, on_error: Callable[..., Any]
    ) -> None:
        self._formatter: Union[JsonFormatter, TextFormatter] = (
            JsonFormatter(identity=identity) if style == "json" else TextFormatter(identity)
        )
        self._output = Output(stream)
        self._handler = LineHandler(self._output, self._formatter, on_error)
        self._undo: List[Callable[[], None]] = []
        root = logging.getLogger()
        level_before = root.level
        root.setLevel(level)
        self._undo.append(lambda: root.setLevel(level_before))
        self._undo.append(_whole_lines(stream))
        self._undo.append(without_terminal(root))
        root.addHandler(self._handler)
        self._undo.append(lambda: root.removeHandler(self._handler))
        self._undo.append(bring_in_foreign())
        self._undo.append(follow_uncaught(self._is_logging))

    def emit(self, event: str, **fields: Any) -> None:
        """Log a lifecycle event, as :func:`emit` does."""
        emit(event, **fields)

    def identify(self, identity: WorkerIdentity) -> None:
        """Change the identity that the lines tell."""
        self._formatter.scope = Scope(identity_fields(identity), self._formatter.scope.bound)

    def bind(self, **fields: Any) -> None:
        """Put fields on every record of the process, whatever thread it comes from; ``None`` takes one off."""
        scope = self._formatter.scope
        self._formatter.scope = Scope(scope.identity, {**scope.bound, **fields})

    def dropped(self) -> float:
        """How many records were lost: stdout took none for so long that the queue was full, or it is broken."""
        return self._output.dropped()

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Write what waits for the stream, within ``seconds``; gives whether all of it is out."""
        return self._output.flush(seconds)

    def close(self) -> None:
        """Flush, and put logging back as it was.

        Only flushed is it where the interpreter is going: what is logged after this, by other functions of ``atexit``
        or a ``__del__``, is then a line like any other.
        """
        if not self._undo:
            return
        if not threading.main_thread().is_alive():
            self._output.flush()
            return
        while self._undo:
            self._undo.pop()()
        self._output.close()
        begin_era()

    def _is_logging(self) -> bool:
        return self._handler in logging.getLogger().handlers

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


def configure_logging(
    style: str = "json",
    level: Union[str, int] = "INFO",
    identity: Optional[Mapping[str, Any]] = None,
    stream: Any = None,
    *,
    on_error: Optional[Callable[[Exception], Any]] = None,
) -> Log:
    """Send every record to ``stream``, one line each. :func:`sedna_metrics.start` does this for its worker.

    Handlers of the root logger that write to the terminal are taken off until the log is closed; others stay.

    Args:
        style: ``json``, or ``text`` for a person at a terminal.
        level: lowest level that is logged.
        identity: fields on every line; those of Sedna's environment where it is not given.
        stream: stdout where it is not given.
        on_error: told of failures inside; they are counted and logged once a minute where it is not given.

    Returns:
        what puts logging back when it is closed.

    Raises:
        ValueError: there is no such style or level.
    """
    if style not in ("json", "text"):
        raise ValueError(f"style is {style!r}, but must be json or text")
    if identity is None:
        identity = identity_fields(WorkerIdentity.from_env(os.environ))
    logging._checkLevel(level)  # type: ignore[attr-defined]
    return Log(style, level, identity, stream if stream is not None else sys.stdout, on_error or ErrorBoundary().record)


def emit(event: str, **fields: Any) -> None:
    """Log a lifecycle event.

    Args:
        event: its name, such as ``training.completed``.
        fields: what belongs to it; those that are ``None`` are left out. Of ``exception`` the trace is written.
    """
    level = _LEVELS.get(event, logging.INFO)
    if EVENTS.isEnabledFor(level):
        exception = fields.pop("exception", None)
        known = Fields({"event": event})
        known.update((name, value) for name, value in fields.items() if value is not None)
        EVENTS.log(level, event, extra={EVENT_ATTRIBUTE: known}, exc_info=exception)


def _whole_lines(stream: Any) -> Callable[[], None]:
    """Let what the worker prints go out line by line.

    Lines of ours do not pass through the stream's buffer: flushed when it is full, in the middle of a printed line, it
    would glue the two together.
    """
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is None or getattr(stream, "line_buffering", True):
        return lambda: None
    try:
        reconfigure(line_buffering=True)
    except Exception:
        return lambda: None  # closed, or somebody's own

    def undo() -> None:
        try:
            reconfigure(line_buffering=False)
        except Exception:
            return  # closed meanwhile

    return undo
