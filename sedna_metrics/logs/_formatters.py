"""Records as lines: JSON for the pipeline, or text for a terminal."""

from __future__ import annotations

import datetime
import functools
import json
import logging
import math
import os
import time
from collections import deque
from enum import Enum
from itertools import islice
from typing import Any, Dict, Mapping, Optional, Tuple

try:
    from pythonjsonlogger.json import JsonFormatter as _BaseFormatter
except ImportError:  # python-json-logger 2
    from pythonjsonlogger.jsonlogger import JsonFormatter as _BaseFormatter
try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment, unused-ignore]

from sedna_metrics._compat import is_ascii
from sedna_metrics.catalogue import log as contract
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.logs._context import current
from sedna_metrics.logs._redact import MASK, is_secret, mask

EVENT_ATTRIBUTE = "_sedna_event"
"""Attribute of a record that has the :class:`Fields` of a lifecycle event."""

#: What every LogRecord has; its other attributes are the caller's extras.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "color_message", EVENT_ATTRIBUTE,
}  # fmt: skip
_RESERVED = frozenset((*contract.ALWAYS, *contract.SOMETIMES))
_MAX_TEXT, _MAX_NAME, _MAX_DEPTH, _MAX_ITEMS = 16_000, 200, 8, 1_000
_KEPT_WHEN_CUT = {"message": 4_000, "exception": 4_000, "stack": 2_000}
"""Bytes of these fields in a line that would be too long; other fields keep 500 each, as many as fit."""


class Budget:
    """What the dicts and lists of one record may still hold: an item counts 1, and 1 more for each 64 characters."""

    left = _MAX_ITEMS


class Fields(Dict[str, Any]):
    """The fields of a lifecycle event. A type of its own, so that no extra of a caller is taken for one."""


def identity_fields(identity: WorkerIdentity) -> Dict[str, str]:
    """The identity as fields of a line."""
    return {name: getattr(identity, name) for name in contract.IDENTITY}


class JsonFormatter(_BaseFormatter):  # type: ignore[misc]
    """A record as one JSON object of at most 16,000 bytes with its newline.

    python-json-logger does the formatting; this class chooses the fields, masks secrets, and limits the size. It can be
    named in a ``logging.config.dictConfig``, as ``class`` or as ``()``; ``fmt`` does not change the fields. The fields
    of ``identity`` are in every line; by default it is that of Sedna's environment.
    """

    def __init__(
        self,
        fmt: Optional[str] = None,
        datefmt: Optional[str] = None,
        style: str = "%",
        validate: bool = True,
        *,
        identity: Optional[Mapping[str, Any]] = None,
    ) -> None:
        super().__init__("%(message)s", json_serializer=_serialize)
        identity = identity_fields(WorkerIdentity.from_env(os.environ)) if identity is None else identity
        self.identity: Mapping[str, Any] = {
            name_of(name): plain(value, False, Budget()) for name, value in identity.items()
        }
        self.bound: Mapping[str, Any] = {}
        """What the tasks of the worker have bound."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, without its newline. ValueError if the record's time is none; nothing else raises."""
        try:
            line: str = super().format(record)
        except Exception:  # arguments that do not fit the message, an exception that cannot be printed, ...
            line = super().format(_harmless(record))
        return line

    def add_fields(self, log_record: Dict[str, Any], record: logging.LogRecord, message_dict: Dict[str, Any]) -> None:
        """Fill ``log_record``; a field of the caller that would replace one of ours is renamed to ``extra_<name>``."""
        attributes = record.__dict__
        message = message_dict.get("message", record.message) if isinstance(record.msg, dict) else record.message
        log_record["timestamp"] = _timestamp(record.created)
        log_record["level"] = _label(record.levelname)
        log_record["logger"] = _label(record.name)
        log_record["message"] = text_of(message)
        log_record.update(self.identity)
        budget = Budget()
        event = attributes.get(EVENT_ATTRIBUTE)
        event = event if type(event) is Fields else {}
        bound = self.bound
        context = current()
        if context:
            bound = {**bound, **context}
        for name, value in bound.items():
            if value is not None and name not in event:
                _add(log_record, name, value, bound, budget)
        if event:
            log_record.update({name: plain(value, is_secret(name), budget) for name, value in event.items()})
        if isinstance(record.msg, dict):
            for name, value in islice(message_dict.items(), _MAX_ITEMS):
                if name not in ("message", "exc_info", "stack_info"):
                    _add(log_record, name, value, message_dict, budget)
        if len(attributes) > _MAX_ITEMS:
            attributes = dict(islice(attributes.items(), _MAX_ITEMS))
        for name, value in attributes.items():
            if name not in _STANDARD:
                _add(log_record, name, value, attributes, budget)
        if message_dict.get("exc_info"):
            log_record["exception"] = text_of(message_dict["exc_info"], keep_end=True)
        if message_dict.get("stack_info"):
            log_record["stack"] = text_of(message_dict["stack_info"])


def _add(fields: Dict[str, Any], key: Any, value: object, others: Mapping[str, Any], budget: Budget) -> None:
    """Add a field of the caller under its own name, or one that neither ``fields`` nor ``others`` has."""
    name, has_secret = _field(key if type(key) is str else name_of(key))
    while name in fields or name in _RESERVED or (name != key and name in others):
        name = f"extra_{name}"
    fields[name] = plain(value, has_secret, budget)


def name_of(key: object) -> str:
    """A field's name."""
    if isinstance(key, bytes):
        key = key.decode("utf-8", "replace")
    name = (key if type(key) is str else _str(key))[:_MAX_NAME]
    return name if is_ascii(name) else name.encode("utf-8", "replace").decode()


@functools.lru_cache(maxsize=4096)
def _field(key: str) -> Tuple[str, bool]:
    """The field's name, and whether it is that of a secret."""
    name = name_of(key)
    return name, is_secret(name)


def text_of(value: object, keep_end: bool = False) -> str:
    """Text of bounded length, without secrets: its beginning, or both its ends."""
    text = value if type(value) is str else _str(value)
    if len(text) <= _MAX_TEXT:
        return mask(text)
    start = mask(text[: 4 * _MAX_TEXT])[:_MAX_TEXT]  # masked first: half a password is not recognised as one
    return f"{start[: _MAX_TEXT // 2]}...{mask(text[-4 * _MAX_TEXT :])[-_MAX_TEXT // 2 :]}" if keep_end else start


def plain(value: Any, has_secret: bool, budget: Budget, inside: Tuple[int, ...] = ()) -> Any:
    """The value as dicts, lists, text and numbers that JSON has, without secrets. Never raises.

    ``inside`` are the ids of the containers that it is in.
    """
    kind = type(value)
    if value is None or kind is bool:
        return value
    if has_secret:
        return _str(value) if isinstance(value, (str, bytes)) and not value else MASK
    if kind is str:
        return text_of(value)
    if kind is int:
        return value if -(2**63) <= value < 2**63 else _str(value)
    if kind is float:
        return value if math.isfinite(value) else "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    try:
        return _plain_other(value, budget, inside)
    except Exception:
        return text_of(_str(value))  # an object that fails when it is looked at


def _plain_other(value: Any, budget: Budget, inside: Tuple[int, ...]) -> Any:
    if isinstance(value, Enum) and len(inside) < _MAX_DEPTH:
        return plain(value.value, False, budget, (*inside, id(value)))
    if isinstance(value, str):
        return text_of(str.__str__(value))
    if isinstance(value, int):
        return plain(int.__index__(value), False, budget)
    if isinstance(value, float):
        return plain(float.__float__(value), False, budget)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return text_of(bytes(value[:_MAX_TEXT]).decode("utf-8", "replace"))
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (Mapping, list, tuple, set, frozenset, deque)):
        return _plain_container(value, budget, inside)
    if isinstance(value, BaseException):
        return text_of(f"{type(value).__name__}: {_str(value)}")
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        item = value.item()  # numpy and tensor scalars
        return plain(item, False, budget) if type(item) in (bool, int, float, str) else text_of(item)
    return text_of(_str(value))


def _plain_container(value: Any, budget: Budget, inside: Tuple[int, ...]) -> Any:
    is_mapping = isinstance(value, Mapping)
    if budget.left <= 0 or len(inside) == _MAX_DEPTH or id(value) in inside:
        return "{...}" if is_mapping else "[...]"  # its repr may have no end either
    items = []
    # Copied first: another thread may change the container.
    for each in list(islice(value.items() if is_mapping else value, budget.left)):
        name, item = (name_of(each[0]), each[1]) if is_mapping else ("", each)
        item = plain(item, is_secret(name), budget, (*inside, id(value)))
        budget.left -= 1 + (len(item) // 64 if type(item) is str else 0)
        items.append((name, item))
        if budget.left <= 0:
            break
    return dict(items) if is_mapping else [item for _, item in items]


def _str(value: Any) -> str:
    for convert in (str, repr):
        try:
            text = convert(value)
            return text if type(text) is str else str.__str__(text)
        except Exception:
            continue  # its own __str__ or __repr__ failed
    return f"<unprintable {type(value).__name__}>"


_label = functools.lru_cache(maxsize=1024)(text_of)  # levels and loggers: few of them, on every line


@functools.lru_cache(maxsize=4)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _timestamp(created: float) -> str:
    second = math.floor(created)
    return "%s.%06dZ" % (_second(second), (created - second) * 1e6)  # noqa: UP031 - faster than an f-string here


def _harmless(record: logging.LogRecord) -> logging.LogRecord:
    """A copy of a record that cannot be formatted, with its message and arguments as text."""
    arguments = f" (arguments: {_str(record.args)})" if record.args else ""
    kept = {name: value for name, value in vars(record).items() if name not in ("args", "exc_info", "stack_info")}
    error = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    return logging.makeLogRecord(
        {**kept, "msg": f"{_str(record.msg)}{arguments}", "exc_text": error and f"{error.__name__}: <unprintable>"}
    )


def _serialize(fields: Dict[str, Any], **_: Any) -> str:
    """The fields as a line of JSON within the limit of a line."""
    line = _dumps(fields)
    return line if len(line) * 4 < contract.MAX_LINE_BYTES or _size(line) < contract.MAX_LINE_BYTES else _cut(fields)


# Nothing is circular: plain() has made the values.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def _dumps(fields: Any) -> str:
    if orjson is not None:
        try:
            return orjson.dumps(fields).decode()
        except TypeError:
            pass  # a lone surrogate
    line: str = _encode(fields)
    return line if is_ascii(line) else line.encode("utf-8", "replace").decode()


def _size(text: str) -> int:
    return len(text) if is_ascii(text) else len(text.encode("utf-8"))


def _cut(fields: Dict[str, Any]) -> str:
    kept: Dict[str, Any] = {}
    left = contract.MAX_LINE_BYTES - sum(_KEPT_WHEN_CUT.values()) - 500
    for name, value in fields.items():
        size = _KEPT_WHEN_CUT.get(name, 500)
        if _size(_dumps(value)) > size:
            value = _cut_text(value if isinstance(value, str) else _dumps(value), size, name == "exception")
        if name not in _KEPT_WHEN_CUT:
            left -= _size(_dumps({name: value}))
            if left < 0:
                continue
        kept[name] = value
    return _dumps({**kept, "truncated": True})


def _cut_text(text: str, size: int, keep_end: bool) -> str:
    """At most ``size`` bytes of the text as JSON: its beginning, of a traceback also its end, where the error is."""
    while _size(_dumps(text)) > size:
        length = len(text) * size // _size(_dumps(text)) - 5
        text = f"{text[: length // 2]}...{text[-(length // 2) :]}" if keep_end else text[:length]
    return text


def as_text(fields: Dict[str, Any], **_: Any) -> str:
    """The fields as a line for a terminal, without the identity, and the traceback. Control characters are escaped."""
    hidden = {*contract.ALWAYS, *contract.IDENTITY, "exception", "stack"}
    shown = [
        f'{name}="{value}"' if " " in str(value) else f"{name}={value}"
        for name, value in fields.items()
        if name not in hidden
    ]
    line = f"{fields['timestamp'][11:19]} {fields['level']:7} {fields['message']}  {' '.join(shown)}".rstrip()
    text = "\n".join([line, *(fields[name] for name in ("exception", "stack") if name in fields)])
    return "".join(each if each.isprintable() else "\n    " if each == "\n" else ascii(each)[1:-1] for each in text)
