"""Sedna's logger and uvicorn's, which are made after the worker's log was set up: into the one log as they appear.

Source: lib/sedna/common/log.py, and lib/sedna/service/server/base.py, which makes the ``uvicorn.Config`` whose
``dictConfig`` gives uvicorn's loggers handlers of their own.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Callable, Dict

from sedna_metrics import logs

Undo = Callable[[], None]


def callbacks() -> Dict[str, Callable[[ModuleType], Undo]]:
    """What is done once these modules were imported."""
    return {"sedna.common.log": _bring_in, "sedna.service.server.base": _bring_in_uvicorn}


def _bring_in(module: ModuleType) -> Undo:
    return logs._bring_in(logs._FOREIGN)


def _bring_in_uvicorn(module: ModuleType) -> Undo:
    uvicorn: Any = module.uvicorn
    loggers: Dict[str, Any] = uvicorn.config.LOGGING_CONFIG["loggers"]
    before = {name: dict(logger) for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.update(handlers=[], propagate=True)

    def undo() -> None:
        loggers.update(before)

    return undo
