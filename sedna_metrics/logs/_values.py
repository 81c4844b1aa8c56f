"""From any object to a JSON value of bounded size, without ever raising.

Integers that do not fit 64 bits, NaN and the infinities become text (``"NaN"``, ``"Infinity"``, ``"-Infinity"``): JSON
has no word for the last three, and a loss that is NaN is worth telling.
"""

from __future__ import annotations

import datetime
import json
import math
from enum import Enum
from json.encoder import encode_basestring
from typing import Any, Callable, Dict, List, Mapping, Tuple

from sedna_metrics.logs._secrets import MASK, is_secret, mask

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment, unused-ignore]

MAX_TEXT = 16_000
"""Longest text that is looked at, in characters; more would not fit a line."""

_MASKED_PREFIX = 65_536
_MAX_DEPTH = 8
_MAX_NODES = 500
_MAX_NAME = 200

quote: Callable[[str], str] = encode_basestring
"""Text as a JSON string, not ASCII only."""


class Shortened:
    """Whether something was left out of a record."""

    __slots__ = ("happened",)

    def __init__(self) -> None:
        self.happened = False


def text_of(value: object, shortened: Shortened) -> str:
    """What an object says of itself, cut, and with its secrets masked."""
    if type(value) is not str:
        value = _said(value)
    return clean(value, shortened)


def clean(text: str, shortened: Shortened) -> str:
    """The text cut, and with its secrets masked."""
    if len(text) > MAX_TEXT:
        shortened.happened = True
        # Masked before it is cut: a password that is cut in two is not known for one.
        return mask(text[:_MASKED_PREFIX])[:MAX_TEXT]
    return mask(text)


def name_of(key: object) -> str:
    """A field's name: text of at most 200 characters that can be encoded."""
    name = (key if type(key) is str else _said(key))[:_MAX_NAME]
    return name if name.isascii() else name.encode("utf-8", "replace").decode()


def field(name: str, value: object, shortened: Shortened) -> str:
    """A value as JSON text; ``name`` tells whether it is a secret."""
    kind = type(value)
    if kind is str:
        return quote(MASK if value and is_secret(name) else clean(value, shortened))  # type: ignore[arg-type]
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    if value and is_secret(name):
        return quote(MASK)
    return _dump(plain(value, shortened))


def plain(value: object, shortened: Shortened) -> Any:
    """The value made of nothing but dicts, lists, text and numbers that every JSON encoder writes alike."""
    return _Plain(shortened).of(value, 0)


def _dump_by_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _dump_by_orjson(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a lone surrogate
        return _dump_by_json(value)


_dump = _dump_by_json if orjson is None else _dump_by_orjson


class _Plain:
    """One walk through a value."""

    def __init__(self, shortened: Shortened) -> None:
        self._shortened = shortened
        self._nodes = 0
        self._size = 0

    def of(self, value: Any, depth: int) -> Any:
        self._nodes += 1
        kind = type(value)
        if kind is str:
            return self._text(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**63 else self._text(_said(value))
        if kind is float:
            return _finite(value)
        try:
            return self._other(value, depth)
        except Exception:
            # An object of the worker's that raises when it is looked at.
            return self._text(_said(value))

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.of(value.value, depth) if depth < _MAX_DEPTH else self._text(_said(value))
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, int):
            return self.of(int.__index__(value), depth)
        if isinstance(value, float):
            return _finite(float.__float__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._text(bytes(value[:MAX_TEXT]).decode("utf-8", "replace"))
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._sequence(value, depth)
        if isinstance(value, BaseException):
            return self._text(f"{type(value).__name__}: {_said(value)}")
        if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
            item = value.item()  # numpy and tensor scalars
            return self.of(item, depth) if type(item) in (bool, int, float, str) else self._text(_said(value))
        return self._text(_said(value))

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        if depth >= _MAX_DEPTH:
            return self._cut()
        result: Dict[str, Any] = {}
        for key, item in value.items():
            if self._full():
                break
            name = name_of(key)
            self._size += len(name)
            result[name] = MASK if item and is_secret(name) else self.of(item, depth + 1)
        return result

    def _sequence(self, value: Any, depth: int) -> Any:
        if depth >= _MAX_DEPTH:
            return self._cut()
        result: List[Any] = []
        for item in value:
            if self._full():
                break
            result.append(self.of(item, depth + 1))
        return result

    def _text(self, text: str) -> str:
        text = clean(text, self._shortened)
        self._size += len(text)
        return text

    def _full(self) -> bool:
        if self._nodes < _MAX_NODES and self._size < MAX_TEXT:
            return False
        self._shortened.happened = True
        return True

    def _cut(self) -> str:
        self._shortened.happened = True
        return "..."


def _finite(value: float) -> Any:
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _said(value: Any) -> str:
    """``str(value)``, or what is left to say of an object that raises."""
    for say in (str, repr):
        try:
            said = say(value)
            return said if type(said) is str else str.__str__(said)
        except Exception:
            # Its own __str__ or __repr__ raised, recursed too deep, or an integer has too many digits.
            continue
    return f"<unprintable {type(value).__name__}>"


def cut_encoded(text: str, budget: int) -> Tuple[str, bool]:
    """A text's JSON string in at most ``budget`` bytes of UTF-8, and whether it had to be cut."""
    quoted = quote(text)
    size = len(quoted) if quoted.isascii() else len(quoted.encode("utf-8", "replace"))
    if size <= budget:
        return quoted, False
    low, high = 0, min(len(text), budget)
    while low < high:
        middle = (low + high + 1) // 2
        if len(quote(text[:middle]).encode("utf-8", "replace")) <= budget:
            low = middle
        else:
            high = middle - 1
    return quote(text[:low]), True
