"""The worker's log: one JSON object a line on stdout, with the identity and the bound context.

:func:`sedna_metrics.start` sets it up. Without a worker, use :func:`configure_logging`, or name :class:`JsonFormatter`
in a ``logging.config.dictConfig``. The fields of a line are declared in :mod:`sedna_metrics.catalogue.log`.
"""

from __future__ import annotations

from sedna_metrics.catalogue.log import FIELDS, MAX_LINE_BYTES
from sedna_metrics.logs._context import bind, log_context
from sedna_metrics.logs._formatters import JsonFormatter, identity_fields
from sedna_metrics.logs._setup import EVENTS, Log, configure_logging, emit

__all__ = [
    "EVENTS", "FIELDS", "MAX_LINE_BYTES", "JsonFormatter", "Log", "bind", "configure_logging", "emit",
    "identity_fields", "log_context",
]  # fmt: skip
