"""Loggers that write by themselves, past the root: Sedna's and uvicorn's.

They set themselves up while their modules are imported, which is before ``start()`` or after it. An import hook for
exactly these two modules notices the second, at the right moment and at no cost for any other record. (The other way,
to look again at every lifecycle event, would miss what is logged before the first one.)
"""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any, Callable, Dict, List, Tuple

from sedna_metrics._imports import ImportWatch

Undo = Callable[[], None]

_LOGGER = logging.getLogger("sedna_metrics")
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def bring_in_foreign() -> Undo:
    """Let Sedna's and uvicorn's records reach the root, now or as soon as their modules are imported."""
    undos: List[Undo] = []

    def taking(take: Callable[[ModuleType], Undo]) -> Callable[[ModuleType], None]:
        def imported(module: ModuleType) -> None:
            try:
                undos.append(take(module))
            except Exception:
                # Not what we know under this name: its import has to succeed just the same.
                _LOGGER.warning("%s keeps its own way of logging", module.__name__, exc_info=True)

        return imported

    watch = ImportWatch({"sedna.common.log": taking(_take_sedna), "uvicorn.config": taking(_take_uvicorn)})
    watch.install()

    def undo() -> None:
        watch.remove()
        while undos:
            undos.pop()()

    return undo


def without_terminal(logger: logging.Logger) -> Undo:
    """Take off the handlers that write to the terminal; a worker's own log file and the like stay."""
    before = list(logger.handlers)
    logger.handlers[:] = [handler for handler in before if not _writes_to_terminal(handler)]
    removed = [handler for handler in before if handler not in logger.handlers]

    def undo() -> None:
        logger.handlers[:] = removed + [handler for handler in logger.handlers if handler not in removed]

    return undo


def _take_sedna(module: ModuleType) -> Undo:
    # The package "sedna" of PyPI is another one.
    logger = getattr(module, "LOGGER", None)
    return _let_through(logger) if isinstance(logger, logging.Logger) else lambda: None


def _take_uvicorn(module: ModuleType) -> Undo:
    undos = [_let_through(logging.getLogger(name)) for name in _UVICORN]
    config = getattr(module, "LOGGING_CONFIG", None)
    loggers: Dict[str, Any] = config.get("loggers", {}) if isinstance(config, dict) else {}
    before: List[Tuple[Dict[str, Any], Dict[str, Any]]] = []
    for each in loggers.values():
        # In place: uvicorn.Config() has it as the default of an argument.
        before.append((each, dict(each)))
        each.update(handlers=[], propagate=True)

    def undo() -> None:
        for each, was in before:
            each.clear()
            each.update(was)
        for step in undos:
            step()

    return undo


def _let_through(logger: logging.Logger) -> Undo:
    restore, propagated = without_terminal(logger), logger.propagate
    logger.propagate = True

    def undo() -> None:
        restore()
        logger.propagate = propagated

    return undo


def _writes_to_terminal(handler: logging.Handler) -> bool:
    if not isinstance(handler, logging.StreamHandler):
        return False
    stream = handler.stream
    if stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        return True
    try:
        return stream.fileno() in (1, 2)
    except Exception:
        return False  # StringIO, or closed
