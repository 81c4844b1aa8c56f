"""The worker's log: one JSON object a line on stdout, with the identity and the bound context.

Alone: :func:`configure_logging`, or :class:`JsonFormatter` in a ``logging.config.dictConfig``. As part of a worker,
:func:`sedna_metrics.start` sets it up. What the lines hold is declared in :mod:`sedna_metrics.catalogue.log`.
"""

from __future__ import annotations

from sedna_metrics.catalogue.log import FIELDS, MAX_LINE_BYTES
from sedna_metrics.logs._context import bind, log_context
from sedna_metrics.logs._formatters import JsonFormatter, TextFormatter, identity_fields
from sedna_metrics.logs._setup import EVENTS, Log, configure_logging, emit

__all__ = [
    "EVENTS",
    "FIELDS",
    "MAX_LINE_BYTES",
    "JsonFormatter",
    "Log",
    "TextFormatter",
    "bind",
    "configure_logging",
    "emit",
    "identity_fields",
    "log_context",
]
