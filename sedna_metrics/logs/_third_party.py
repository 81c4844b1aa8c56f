"""Sends the records of Sedna and uvicorn, whose loggers write to the terminal themselves, to the root logger.

Both set their loggers up when they are imported, before or after ``start()``.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from types import ModuleType
from typing import Any, Callable, Dict, List

from sedna_metrics._imports import ImportWatch

Undo = Callable[[], None]

_LOGGER = logging.getLogger("sedna_metrics")
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def redirect_third_party() -> Undo:
    """Send Sedna's and uvicorn's records to the root logger, now or as soon as their modules are imported."""
    undos: List[Undo] = []

    def hook(redirect: Callable[[ModuleType], List[Undo]]) -> Callable[[ModuleType], None]:
        def imported(module: ModuleType) -> None:
            try:
                undos.extend(redirect(module))
            except Exception:
                # Another module of this name: its import must succeed all the same.
                _LOGGER.warning("the loggers of %s could not be redirected", module.__name__, exc_info=True)

        return imported

    watch = ImportWatch({"sedna.common.log": hook(_redirect_sedna), "uvicorn.config": hook(_redirect_uvicorn)})
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
    # PyPI's package "sedna" is another one.
    return [_redirect(logger)] if isinstance(logger, logging.Logger) else []


def _redirect_uvicorn(module: ModuleType) -> List[Undo]:
    config: Any = getattr(module, "LOGGING_CONFIG", {})
    undos = [_redirect(logging.getLogger(name)) for name in _UVICORN]
    for logger in config["loggers"].values():
        # Changed in place: it is the default argument of uvicorn.Config().
        undos.append(partial(_restore, logger, dict(logger)))
        logger.update(handlers=[], propagate=True)
    return undos


def _restore(logger: Dict[str, Any], before: Dict[str, Any]) -> None:
    logger.clear()
    logger.update(before)


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
