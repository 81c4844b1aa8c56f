"""The worker's log: one JSON object a line on stdout, with the identity and the bound context.

Alone: :func:`configure_logging`. As part of a worker, :func:`sedna_metrics.start` calls it.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, TextIO, Tuple

try:
    from pythonjsonlogger.json import JsonFormatter as _BaseFormatter
except ImportError:  # python-json-logger 2
    from pythonjsonlogger.jsonlogger import JsonFormatter as _BaseFormatter

EVENTS = logging.getLogger("sedna_metrics.events")
"""Lifecycle events are records of this logger."""

_CONTEXT: ContextVar[Mapping[str, Any]] = ContextVar("sedna_metrics_log_context", default=MappingProxyType({}))
_RESERVED = ("timestamp", "level", "logger", "message")
#: What every LogRecord has; the rest of its attributes are the caller's extras.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def bind(**fields: Any) -> None:
    """Put ``fields`` on every record of this context (thread or asyncio task) from now on; ``None`` takes one off."""
    merged = {**_CONTEXT.get(), **fields}
    _CONTEXT.set({name: value for name, value in merged.items() if value is not None})


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Put ``fields`` on every record of the body."""
    token = _CONTEXT.set({**_CONTEXT.get(), **fields})
    try:
        yield
    finally:
        _CONTEXT.reset(token)


class JsonFormatter(_BaseFormatter):  # type: ignore[misc]
    """A record as one line of JSON: timestamp, level, logger, message, identity, context, extras, exception."""

    def __init__(self, identity: Optional[Mapping[str, str]] = None) -> None:
        super().__init__("%(message)s")
        self._identity = dict(identity or {})

    def add_fields(self, log_record: Dict[str, Any], record: logging.LogRecord, message_dict: Dict[str, Any]) -> None:
        """Fill the JSON object; python-json-logger calls this."""
        log_record["timestamp"] = timestamp(record.created)
        log_record["level"] = record.levelname
        log_record["logger"] = record.name
        log_record["message"] = record.getMessage()
        log_record.update(self._identity)
        log_record.update(_CONTEXT.get())
        for name, value in {**message_dict, **extras_of(record)}.items():
            taken = name in _RESERVED or name in self._identity
            log_record[f"extra_{name}" if taken else name] = value
        if record.exc_info and record.exc_info[0] is not None:
            log_record["exception"] = self.formatException(record.exc_info)
        log_record.pop("exc_info", None)


class TextFormatter(logging.Formatter):
    """A record for a person at a terminal, with the same context."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = {**_CONTEXT.get(), **extras_of(record)}
        shown = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
        line = super().formatMessage(record)
        return f"{line}  {shown}" if shown else line


def timestamp(seconds: float) -> str:
    """A Unix time in RFC 3339, UTC, with microseconds."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def extras_of(record: logging.LogRecord) -> Dict[str, Any]:
    """What the caller handed in as ``extra``."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def emit(event: str, **fields: Any) -> None:
    """Log a lifecycle event; fields that are ``None`` are left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    EVENTS.info(event, extra={"event": event, **known})


def configure_logging(
    style: str = "json",
    level: str = "INFO",
    identity: Optional[Mapping[str, str]] = None,
    stream: Optional[TextIO] = None,
) -> Callable[[], None]:
    """Send every record to ``stream`` as one line.

    Args:
        style: ``json``, ``text``, or ``off``, which changes nothing.
        level: lowest level that is logged.
        identity: fields on every record.
        stream: stdout where it is not given.

    Returns:
        a function that puts logging back as it was.
    """
    if style == "off":
        return lambda: None
    root = logging.getLogger()
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(identity) if style == "json" else TextFormatter())
    before: List[logging.Handler] = list(root.handlers)
    level_before = root.level
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    undo_foreign = _bring_in(_FOREIGN)

    def undo() -> None:
        undo_foreign()
        logging.captureWarnings(False)
        root.handlers[:] = [each for each in root.handlers if each is not handler] or before
        root.setLevel(level_before)

    return undo


#: Loggers that write by themselves, past the root: Sedna's is called as its job (lib/sedna/common/log.py).
_FOREIGN: Tuple[str, ...] = ("uvicorn", "uvicorn.error", "uvicorn.access")


def _bring_in(names: Tuple[str, ...]) -> Callable[[], None]:
    loggers = [logging.getLogger(name) for name in names]
    sedna = sys.modules.get("sedna.common.log")
    if isinstance(getattr(sedna, "LOGGER", None), logging.Logger):
        loggers.append(sedna.LOGGER)  # type: ignore[union-attr]
    before = [(logger, list(logger.handlers), logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers[:] = []
        logger.propagate = True

    def undo() -> None:
        for logger, handlers, propagate in before:
            logger.handlers[:] = handlers
            logger.propagate = propagate

    return undo
