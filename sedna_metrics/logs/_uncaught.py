"""Warnings and uncaught exceptions as records, instead of text on stderr.

A hook that the script has set is still called. If the record cannot be logged, Python's own hook prints the exception.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any, Callable

_LOGGER = logging.getLogger("sedna_metrics.uncaught")


def log_uncaught(is_logging: Callable[[], bool]) -> Callable[[], None]:
    """Log warnings, and what nobody catches in the main thread, in other threads and in ``__del__``.

    Args:
        is_logging: whether a record would be written.

    Returns:
        what undoes it.
    """

    def write(kind: Any, error: Any, trace: Any, where: str = "") -> bool:
        if not is_logging():
            return False
        try:
            if issubclass(kind, KeyboardInterrupt):
                _LOGGER.warning("interrupted: KeyboardInterrupt")  # somebody pressed Ctrl-C: a trace tells nothing
            else:
                message = f"uncaught {kind.__name__}: {_text(error)}{where}"
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

    def on_unraisable(args: Any) -> None:
        where = f" ({args.err_msg or 'in'} {getattr(args.object, '__qualname__', type(args.object).__qualname__)})"
        written = write(args.exc_type, args.exc_value, args.exc_traceback, where)
        if not written or unraisable is not sys.__unraisablehook__:
            unraisable(args)

    main, thread, unraisable = sys.excepthook, threading.excepthook, sys.unraisablehook
    hooks = ((sys, "excepthook", on_main), (threading, "excepthook", on_thread), (sys, "unraisablehook", on_unraisable))
    before = [getattr(module, name) for module, name, _ in hooks]
    for module, name, hook in hooks:
        setattr(module, name, hook)
    captured = getattr(logging, "_warnings_showwarning", None) is not None
    logging.captureWarnings(True)

    def undo() -> None:
        for (module, name, hook), original in zip(hooks, before):
            if getattr(module, name) is hook:  # a hook set later stays, and calls ours
                setattr(module, name, original)
        if not captured:
            logging.captureWarnings(False)

    return undo


def _text(error: Any) -> str:
    try:
        return str(error)
    except Exception:
        return "<unprintable>"
