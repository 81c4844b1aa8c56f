"""What differs between Python versions at run time, in one place. The wheel for Python 3.6 and 3.7 needs most of it."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info >= (3, 8):
    from functools import cached_property
    from typing import Protocol

    def version(package: str) -> str:
        """The version of an installed package."""
        from importlib import metadata  # takes longer to import than the rest of the library

        return metadata.version(package)
else:
    Protocol = object

    class cached_property:
        def __init__(self, function):
            self.func = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner, name):
            self.attrname = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value

    def version(package):
        """The version of an installed package."""
        import pkg_resources

        return pkg_resources.get_distribution(package).version


if TYPE_CHECKING or sys.version_info >= (3, 7):
    from contextvars import ContextVar

    is_ascii = str.isascii
else:

    class ContextVar(threading.local):
        """One value for each thread; asyncio tasks of a thread share it."""

        def __init__(self, name):
            self.value = None

        def get(self, default):
            return default if self.value is None else self.value

        def set(self, value):
            before, self.value = self.value, value
            return SimpleNamespace(var=self, before=before)

        def reset(self, token):
            self.value = token.before

    def is_ascii(text):
        return len(text) == len(text.encode("utf-8", "surrogatepass"))


__all__ = ["ContextVar", "Protocol", "cached_property", "is_ascii", "version"]
