"""Warnings and uncaught exceptions as records, instead of text on stderr.

A hook that the script has set is still called. If the record is not written, Python's own hook prints the exception.
"""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import ExitStack, suppress
from typing import Any

from sedna_metrics.errors import describe

_LOGGER = logging.getLogger("sedna_metrics.uncaught")


def log_uncaught(handler: Any, undo: ExitStack) -> None:
    """Log warnings, and uncaught exceptions of all threads, by this handler of the root logger."""

    def write(kind: Any, error: Any, trace: Any, where: str = "") -> bool:
        if handler not in logging.getLogger().handlers:
            return False  # the script has set logging up anew
        before = handler.written
        with suppress(Exception):  # a logging filter of the script's failed
            if issubclass(kind, KeyboardInterrupt):
                _LOGGER.warning("interrupted: KeyboardInterrupt")  # somebody pressed Ctrl-C: a trace tells nothing
            else:
                message = f"uncaught {kind.__name__}: {describe(error)}{where}"
                _LOGGER.critical("%s", message, exc_info=(kind, error, trace))
        return bool(handler.written > before)

    def on_main(kind: Any, error: Any, trace: Any) -> None:
        if not write(kind, error, trace) or main is not sys.__excepthook__:
            main(kind, error, trace)

    def on_thread(args: Any) -> None:
        name = getattr(args.thread, "name", "unknown")
        is_exit = args.exc_type is SystemExit  # ends a thread quietly
        done = is_exit or write(args.exc_type, args.exc_value, args.exc_traceback, f" (in thread {name})")
        if not done or thread.__module__ not in ("_thread", "threading"):
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
