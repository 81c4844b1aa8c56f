"""Calls back after the script has imported a module; nothing is imported here.

A finder at the head of ``sys.meta_path`` asks the other finders, and returns what they found with a loader that calls
back once the module's code has run.
"""

from __future__ import annotations

import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Dict, Optional, Sequence

Callback = Callable[[ModuleType], None]


class ImportWatch:
    """Calls ``callbacks``, by the exact name of the module, with the module. They must not raise: the import would."""

    def __init__(self, callbacks: Dict[str, Callback]) -> None:
        self._callbacks = callbacks
        self._searching = threading.local()

    def install(self) -> None:
        """Call back for the modules that are there already, and watch for the others."""
        sys.meta_path.insert(0, self)
        for name, callback in self._callbacks.items():
            module = sys.modules.get(name)
            is_being_imported = getattr(getattr(module, "__spec__", None), "_initializing", False)
            if module is not None and not is_being_imported:
                callback(module)

    def remove(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        """What the finders behind this one find, with a loader that calls back; ``None`` for all other modules."""
        if fullname not in self._callbacks or getattr(self._searching, "name", None) == fullname:
            return None
        # Another watch (a tracer's, say) may search in the same way: the mark keeps the two from going in circles.
        self._searching.name = fullname
        try:
            others = [each for each in sys.meta_path if each is not self and hasattr(each, "find_spec")]
            found = (each.find_spec(fullname, path, target) for each in others)
            spec = next((each for each in found if each is not None), None)
        finally:
            self._searching.name = None
        loader: Any = getattr(spec, "loader", None)
        if hasattr(loader, "exec_module"):
            load = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                loader.exec_module = load
                load(module)
                self._callbacks[fullname](module)

            loader.exec_module = exec_module
        return spec
