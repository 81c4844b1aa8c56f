"""Sends the records of Sedna and uvicorn, whose loggers write to the terminal themselves, to the root logger.

Both set their loggers up when they are imported, before or after ``start()``.
"""

from __future__ import annotations

import copy
import logging
import sys
from functools import partial
from types import ModuleType
from typing import Any, Callable, List

from sedna_metrics._imports import ImportWatch

Undo = Callable[[], None]

_LOGGER = logging.getLogger("sedna_metrics")
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def redirect_third_party() -> Undo:
    """Send Sedna's and uvicorn's records to the root logger, now or as soon as their modules are imported."""
    undos: List[Undo] = []

    def imported(module: ModuleType) -> None:
        try:
            undos.extend(_REDIRECT[module.__name__](module))
        except Exception:  # another module of this name: its import must succeed all the same
            _LOGGER.warning("the loggers of %s could not be redirected", module.__name__, exc_info=True)

    watch = ImportWatch(dict.fromkeys(_REDIRECT, imported))
    watch.install()

    def undo() -> None:
        watch.remove()
        while undos:
            undos.pop()()

    return undo


def without_terminal(logger: logging.Logger) -> Undo:
    """Remove the handlers that write to stdout or stderr; others, such as log files, stay."""
    removed = [handler for handler in logger.handlers if _writes_to_terminal(handler)]
    for handler in removed:
        logger.removeHandler(handler)

    def undo() -> None:
        logger.handlers[:] = removed + logger.handlers

    return undo


def _redirect_sedna(module: ModuleType) -> List[Undo]:
    logger = getattr(module, "LOGGER", None)
    return [_redirect(logger)] if isinstance(logger, logging.Logger) else []  # PyPI's "sedna" has none


def _redirect_uvicorn(module: ModuleType) -> List[Undo]:
    config: Any = getattr(module, "LOGGING_CONFIG", {})
    undos = [_redirect(logging.getLogger(name)) for name in _UVICORN]
    # Changed in place: it is the default argument of uvicorn.Config().
    undos.append(partial(config["loggers"].update, copy.deepcopy(config["loggers"])))
    for logger in config["loggers"].values():
        logger.update(handlers=[], propagate=True)
    return undos


_REDIRECT = {"sedna.common.log": _redirect_sedna, "uvicorn.config": _redirect_uvicorn}


def _redirect(logger: logging.Logger) -> Undo:
    restore, propagate = without_terminal(logger), logger.propagate
    logger.propagate = True

    def undo() -> None:
        restore()
        logger.propagate = propagate

    return undo


def _writes_to_terminal(handler: logging.Handler) -> bool:
    if getattr(handler, "writes_sedna_metrics_lines", False):
        return False  # our own: Sedna's logger is the root logger if JOB_NAME is empty
    stream = getattr(handler, "stream", None)
    return isinstance(handler, logging.StreamHandler) and stream in (
        sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__,
    )  # fmt: skip
