"""The handler on the root logger."""

from __future__ import annotations

import logging
from typing import Any, Callable

from sedna_metrics.logs._output import Output

_CLOSE_SECONDS = 0.2


class LineHandler(logging.Handler):
    """Formats in the thread that logs, where the context is, and hands the line to an :class:`Output`.

    ``close()`` does not end it: ``logging.config.dictConfig``, which ``uvicorn.Config()`` runs, closes every handler
    that exists, those that stay in use as well. :meth:`Output.close` does.

    Args:
        output: takes the lines.
        formatter: makes them.
        on_error: told of failures of ours.
    """

    def __init__(self, output: Output, formatter: logging.Formatter, on_error: Callable[[Exception], Any]) -> None:
        super().__init__()
        self.output = output
        self.setFormatter(formatter)
        self._on_error = on_error

    def handle(self, record: logging.LogRecord) -> Any:
        """Format and write, if the filters let it through. No lock is held: formatting may call the worker's code."""
        allowed = self.filter(record) if self.filters else True
        if isinstance(allowed, logging.LogRecord):
            record = allowed
        if allowed:
            try:
                self.emit(record)
            except Exception as why:
                self._on_error(why)
        return allowed

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. Does not raise, and does not wait for a reader."""
        try:
            assert self.formatter is not None
            self.output.write(self.formatter.format(record).encode("utf-8", "replace") + b"\n")
        except Exception as why:
            self._on_error(why)

    def flush(self) -> None:
        """Write what waits; a stream that takes nothing is waited for a fifth of a second."""
        self.output.flush(_CLOSE_SECONDS)

    def close(self) -> None:
        """Flush only, see above."""
        self.flush()
