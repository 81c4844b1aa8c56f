"""Sets logging up, and puts it back."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import ExitStack
from typing import Any, List, Mapping, Optional, Union

from sedna_metrics.catalogue import log as contract
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.logs import _context
from sedna_metrics.logs._formatters import EVENT_ATTRIBUTE, Fields, JsonFormatter, as_text, identity_fields
from sedna_metrics.logs._third_party import redirect_third_party, without_terminal
from sedna_metrics.logs._uncaught import log_uncaught

EVENTS = logging.getLogger("sedna_metrics.events")
"""Lifecycle events are records of this logger."""

_LEVELS = {event.name: getattr(logging, event.level) for event in contract.EVENTS}
_open: List[Log] = []
"""Logs that are not closed; the latest is the one that writes."""


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """A stream handler that counts the records that could not be written, instead of printing a traceback for each."""

    writes_sedna_metrics_lines = True

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.stream = stream  # None, where there is no stdout: every record is then counted
        self._flush = getattr(stream, "flush", lambda: None)  # StreamHandler.flush() takes the lock once more
        self.written = self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.stream.write(self.format(record) + "\n")
            self._flush()
            self.written += 1
        except Exception:
            self.dropped += 1


class Log:
    """The logging set-up that :func:`configure_logging` returns; a context manager, too."""

    def __init__(self, style: str, level: Union[str, int], identity: Optional[Mapping[str, Any]], stream: Any) -> None:
        self._formatter = JsonFormatter(identity=identity)
        if style == "text":
            self._formatter.json_serializer = as_text
        self._handler = _Handler(stream)
        self._handler.setFormatter(self._formatter)
        self._level = level
        self._undo = ExitStack()
        if _open:
            _open[-1]._undo.close()
        _open.append(self)
        self._install()

    def _install(self) -> None:
        root = logging.getLogger()
        self._undo.callback(root.setLevel, root.level)
        root.setLevel(self._level)
        without_terminal(root, self._undo)
        self._undo.callback(root.removeHandler, self._handler)
        root.addHandler(self._handler)
        redirect_third_party(self._undo)
        log_uncaught(self._handler, self._undo)

    def __call__(self, event: str, **fields: Any) -> None:
        """Log a lifecycle event, as :func:`emit` does."""
        emit(event, **fields)

    def identify(self, identity: WorkerIdentity) -> None:
        """Change the identity in the lines."""
        self._formatter.identity = identity_fields(identity)

    def bind(self, **fields: Any) -> None:
        """Add fields to every record of the process, from every thread; ``None`` removes a field."""
        bound = {**self._formatter.bound, **fields}
        self._formatter.bound = {name: value for name, value in bound.items() if value is not None}

    def dropped(self) -> float:
        """Number of records that could not be written."""
        return float(self._handler.dropped)

    def close(self) -> None:
        """Put logging back as it was; a second call does nothing.

        While the interpreter exits it stays, so that what other exit functions log is a line of JSON, too.
        """
        if self not in _open or not threading.main_thread().is_alive():
            return
        _context.clear()
        is_writing = self is _open[-1]
        _open.remove(self)
        if is_writing:
            self._undo.close()
            if _open:
                _open[-1]._install()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def configure_logging(
    style: str = "json",
    level: Union[str, int] = "INFO",
    identity: Optional[Mapping[str, Any]] = None,
    stream: Any = None,
) -> Log:
    """Log every record to ``stream``, a line each. :func:`sedna_metrics.start` does this for its worker.

    Handlers of the root logger that write to the terminal are removed until the log is closed; others stay. Of several
    logs the latest writes, until it is closed. Records are written at once, by the thread that logs: a reader of stdout
    that stops reading stops the worker, as for ``print``.

    Args:
        style: ``json``, or ``text`` for a person at a terminal; another one, or another level, raises ValueError.
        level: lowest level that is logged.
        identity: fields of every line; by default those of Sedna's environment.
        stream: a text stream; stdout by default.
    """
    if style not in ("json", "text"):
        raise ValueError(f"style is {style!r}, but must be json or text")
    logging._checkLevel(level)  # type: ignore[attr-defined]
    return Log(style, level, identity, sys.stdout if stream is None else stream)


def emit(event: str, **fields: Any) -> None:
    """Log a lifecycle event, such as ``training.completed``, with those fields that are not ``None``."""
    level = _LEVELS.get(event, logging.INFO)
    EVENTS.disabled = False  # logging.config.dictConfig disables existing loggers by default
    if EVENTS.isEnabledFor(level):
        exception = fields.pop("exception", None)
        known = Fields(event=event)
        known.update((name, _whole(value)) for name, value in fields.items() if value is not None)
        EVENTS.log(level, event, extra={EVENT_ATTRIBUTE: known}, exc_info=exception)


def _whole(value: Any) -> Any:
    """Whole numbers of gauges and counters as integers: 12, not 12.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
