"""What differs between Python versions at run time, in one place."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

__all__ = ["Protocol", "cached_property"]
