"""Loggers that write by themselves, past the root: Sedna's and uvicorn's.

They set themselves up while their modules are imported, which is before ``start()`` or after it. An import hook for
exactly these two modules notices the second, at the right moment and at no cost for any other record. (The other way,
to look again at every lifecycle event, would miss what is logged before the first one.)
"""

from __future__ import annotations

import logging
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

Undo = Callable[[], None]

_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def bring_in_foreign() -> Undo:
    """Let Sedna's and uvicorn's records reach the root, now or as soon as their modules are imported."""
    undos: List[Undo] = []
    takers: Dict[str, Callable[[ModuleType], Undo]] = {"sedna.common.log": _take_sedna, "uvicorn.config": _take_uvicorn}
    for name, take in takers.items():
        module = sys.modules.get(name)
        if module is not None:
            undos.append(take(module))
    hook = _ImportHook(takers, undos.append)
    sys.meta_path.insert(0, hook)

    def undo() -> None:
        if hook in sys.meta_path:
            sys.meta_path.remove(hook)
        hook.takers.clear()
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


class _ImportHook(MetaPathFinder):
    """Calls back after a module was executed; what finds and loads it is whatever did so before."""

    def __init__(self, takers: Dict[str, Callable[[ModuleType], Undo]], took: Callable[[Undo], None]) -> None:
        self.takers = takers
        self._took = took
        self._searching: Dict[str, bool] = {}

    def find_spec(
        self, name: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        if name not in self.takers or self._searching.get(name):
            return None
        self._searching[name] = True
        try:
            spec = _find(name, path, target)
        finally:
            self._searching[name] = False
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader, name)
        return spec

    def _follow(self, loader: Any, name: str) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            taker = self.takers.get(name)
            if taker is not None and module.__name__ == name:
                try:
                    self._took(taker(module))
                except Exception:
                    # Not what we know under this name: its import has to succeed just the same.
                    logging.getLogger("sedna_metrics").warning("%s keeps its own way of logging", name, exc_info=True)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            return  # a loader without attributes of its own is none that loads a file


def _find(name: str, path: Optional[Sequence[str]], target: Optional[ModuleType]) -> Optional[ModuleSpec]:
    for finder in list(sys.meta_path):
        find_spec = getattr(finder, "find_spec", None)
        spec: Optional[ModuleSpec] = find_spec(name, path, target) if find_spec is not None else None
        if spec is not None:
            return spec
    return None
