"""Warnings and uncaught exceptions as records, instead of text on stderr.

A hook that the script has set is still called. If the record cannot be logged, Python's own hook prints the exception.
"""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import ExitStack
from typing import Any, Callable

from sedna_metrics.errors import describe

_LOGGER = logging.getLogger("sedna_metrics.uncaught")


def log_uncaught(is_logging: Callable[[], bool], undo: ExitStack) -> None:
    """Log warnings, and uncaught exceptions of all threads, while ``is_logging()``."""

    def write(kind: Any, error: Any, trace: Any, where: str = "") -> bool:
        if not is_logging():
            return False
        try:
            if issubclass(kind, KeyboardInterrupt):
                _LOGGER.warning("interrupted: KeyboardInterrupt")  # somebody pressed Ctrl-C: a trace tells nothing
            else:
                message = f"uncaught {kind.__name__}: {describe(error)}{where}"
                _LOGGER.critical("%s", message, exc_info=(kind, error, trace))
        except Exception:
            return False  # a logging filter of the script's failed
        return _LOGGER.isEnabledFor(logging.CRITICAL)

    def on_main(kind: Any, error: Any, trace: Any) -> None:
        if not write(kind, error, trace) or main is not sys.__excepthook__:
            main(kind, error, trace)

    def on_thread(args: Any) -> None:
        name = getattr(args.thread, "name", "unknown")
        is_exit = args.exc_type is SystemExit  # ends a thread quietly
        written = is_exit or write(args.exc_type, args.exc_value, args.exc_traceback, f" (in thread {name})")
        if not written or thread.__module__ not in ("_thread", "threading"):
            thread(args)

    thread: Any
    main, thread = sys.excepthook, getattr(threading, "excepthook", None)  # since Python 3.8
    sys.excepthook = on_main
    if thread is not None:
        threading.excepthook = on_thread
    if getattr(logging, "_warnings_showwarning", None) is None:
        undo.callback(logging.captureWarnings, False)
    logging.captureWarnings(True)

    @undo.callback
    def restore() -> None:  # a hook set later stays, and calls ours
        if sys.excepthook is on_main:
            sys.excepthook = main
        if thread is not None and threading.excepthook is on_thread:
            threading.excepthook = thread
