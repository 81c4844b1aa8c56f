"""Sends the records of Sedna and uvicorn, whose loggers write to the terminal themselves, to the root logger.

Both set their loggers up when they are imported, before or after ``start()``.
"""

from __future__ import annotations

import copy
import logging
import sys
from contextlib import ExitStack
from types import ModuleType
from typing import Any

from sedna_metrics._imports import ImportWatch

_LOGGER = logging.getLogger("sedna_metrics")
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def redirect_third_party(undo: ExitStack) -> None:
    """Send Sedna's and uvicorn's records to the root logger, now or as soon as their modules are imported."""

    def imported(module: ModuleType) -> None:
        try:
            _REDIRECT[module.__name__](module, undo)
        except Exception:  # another module of this name: its import must succeed all the same
            _LOGGER.warning("the loggers of %s could not be redirected", module.__name__, exc_info=True)

    watch = ImportWatch(dict.fromkeys(_REDIRECT, imported))
    watch.install()
    undo.callback(watch.remove)


def without_terminal(logger: logging.Logger, undo: ExitStack) -> None:
    """Remove the handlers that write to stdout or stderr; others, such as log files, stay."""
    removed = [handler for handler in logger.handlers if _writes_to_terminal(handler)]
    for handler in removed:
        logger.removeHandler(handler)

    @undo.callback
    def restore() -> None:
        logger.handlers[:0] = removed


def _redirect_sedna(module: ModuleType, undo: ExitStack) -> None:
    logger = getattr(module, "LOGGER", None)
    if isinstance(logger, logging.Logger):  # PyPI's "sedna" has none
        _redirect(logger, undo)


def _redirect_uvicorn(module: ModuleType, undo: ExitStack) -> None:
    config: Any = getattr(module, "LOGGING_CONFIG", {})
    for name in _UVICORN:
        _redirect(logging.getLogger(name), undo)
    # Changed in place: it is the default argument of uvicorn.Config().
    undo.callback(config["loggers"].update, copy.deepcopy(config["loggers"]))
    for logger in config["loggers"].values():
        logger.update(handlers=[], propagate=True)


_REDIRECT = {"sedna.common.log": _redirect_sedna, "uvicorn.config": _redirect_uvicorn}


def _redirect(logger: logging.Logger, undo: ExitStack) -> None:
    undo.callback(setattr, logger, "propagate", logger.propagate)
    logger.propagate = True
    without_terminal(logger, undo)


def _writes_to_terminal(handler: logging.Handler) -> bool:
    if getattr(handler, "writes_sedna_metrics_lines", False):
        return False  # our own: Sedna's logger is the root logger if JOB_NAME is empty
    stream = getattr(handler, "stream", None)
    return isinstance(handler, logging.StreamHandler) and stream in (
        sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__,
    )  # fmt: skip
