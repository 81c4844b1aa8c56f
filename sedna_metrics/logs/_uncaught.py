"""Warnings and uncaught exceptions as records.

They are not printed on stderr as well: one event, one line. A hook that somebody installed is still called, and where
the record cannot be logged at all, Python's own hook prints what it always prints.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any, Callable, List

Undo = Callable[[], None]

_LOGGER = logging.getLogger("sedna_metrics.uncaught")


def follow_uncaught(is_logging: Callable[[], bool]) -> Undo:
    """Log warnings, and what is caught by nobody in the main thread, in others, and in ``__del__``.

    Args:
        is_logging: whether a record would be written.
    """
    main, other, unraisable = sys.excepthook, threading.excepthook, sys.unraisablehook

    def on_main(kind: Any, error: Any, trace: Any) -> None:
        is_told = is_logging() and _tell("uncaught %s: %s", kind, error, trace)
        if not is_told or main is not sys.__excepthook__:
            main(kind, error, trace)

    def on_other(args: Any) -> None:
        name = getattr(args.thread, "name", "unknown")
        if args.exc_type is SystemExit:
            is_told = True  # a thread may end so
        else:
            is_told = is_logging() and _tell(
                "uncaught %s: %s (in thread %s)", args.exc_type, args.exc_value, args.exc_traceback, name
            )
        if not is_told or not _is_pythons_own(other):
            other(args)

    def on_unraisable(args: Any) -> None:
        where = args.err_msg or "Exception ignored in"
        is_told = is_logging() and _tell(
            "uncaught %s: %s (%s %s)", args.exc_type, args.exc_value, args.exc_traceback, where, _name(args.object)
        )
        if not is_told or unraisable is not sys.__unraisablehook__:
            unraisable(args)

    sys.excepthook, threading.excepthook, sys.unraisablehook = on_main, on_other, on_unraisable
    captured = getattr(logging, "_warnings_showwarning", None) is not None
    logging.captureWarnings(True)

    def undo() -> None:
        # Whoever put a hook over ours keeps it, and calls ours, which then does as Python's own.
        if sys.excepthook is on_main:
            sys.excepthook = main
        if threading.excepthook is on_other:
            threading.excepthook = other
        if sys.unraisablehook is on_unraisable:
            sys.unraisablehook = unraisable
        if not captured:
            logging.captureWarnings(False)

    return undo


def _is_pythons_own(hook: Any) -> bool:
    # threading.__excepthook__ came with Python 3.10.
    return getattr(hook, "__module__", None) in ("_thread", "threading")


def _tell(message: str, kind: Any, error: Any, trace: Any, *more: Any) -> bool:
    try:
        args: List[Any] = [kind.__name__, _Said(error), *more]
        level = logging.WARNING if issubclass(kind, KeyboardInterrupt) else logging.CRITICAL
        _LOGGER.log(level, message, *args, exc_info=(kind, error, trace))
    except Exception:
        # A logging filter or factory of the worker's raised.
        return False
    return _LOGGER.isEnabledFor(level)


def _name(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", None) or type(thing).__qualname__)


class _Said:
    """What an exception says, in a message that is put together only if it is written."""

    def __init__(self, error: Any) -> None:
        self._error = error

    def __str__(self) -> str:
        try:
            return str(self._error)
        except Exception:
            return "<unprintable>"
