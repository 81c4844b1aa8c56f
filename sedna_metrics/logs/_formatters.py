"""Records as lines: JSON for the pipeline, text for a person at a terminal."""

from __future__ import annotations

import logging
import math
import os
import time
from itertools import islice
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Set, Tuple

try:
    from pythonjsonlogger.json import JsonFormatter as _BaseFormatter
except ImportError:  # python-json-logger 2
    from pythonjsonlogger.jsonlogger import JsonFormatter as _BaseFormatter

from sedna_metrics.catalogue import log as contract
from sedna_metrics.identity import WorkerIdentity
from sedna_metrics.logs._context import CONTEXT, Bound
from sedna_metrics.logs._secrets import MASK, is_secret
from sedna_metrics.logs._values import Shortened, clean, cut_encoded, field, name_of, quote, text_of

EVENT_ATTRIBUTE = "_sedna_event"
"""Where a record carries its :class:`Fields`: not reached by what a caller hands in as ``extra`` by accident."""

_MAX_BYTES = contract.MAX_LINE_BYTES - 1
#: In bytes, of a line that is too long: for the identity and the context together; for message, exception and stack.
_SCOPE_BUDGET, _TEXT_BUDGET = 4_000, 4_000
_ORDINARY = logging.LogRecord("", 0, "", 0, "", (), None)
#: What every LogRecord has; the rest of its attributes are the caller's extras.
_STANDARD = frozenset(vars(_ORDINARY)) | {"message", "asctime", "taskName", "color_message", EVENT_ATTRIBUTE}
#: They stand first in a record's attributes, so that those behind them are quickly found.
_STANDARD_COUNT = len(vars(_ORDINARY))
_RESERVED = frozenset((*contract.ALWAYS, *contract.SOMETIMES))


class Fields(Dict[str, Any]):
    """The fields of a lifecycle event. A type of its own, so that no caller's dict is taken for one."""


class Scope:
    """What stands on every line of a worker: its identity and what its tasks have bound. Never changed."""

    def __init__(self, identity: Mapping[str, Any], bound: Optional[Mapping[str, Any]] = None) -> None:
        self.identity = {name_of(name): value for name, value in identity.items()}
        self.bound = {name: value for name, value in (bound or {}).items() if value is not None}

    def merged(self, context: Bound) -> Dict[str, Any]:
        """Identity, then what is bound; a context's own field wins over the worker's, and none over the identity."""
        fields = {**self.bound, **{name: value for name, value in context.current().items() if value is not None}}
        used = {*_RESERVED, *self.identity}
        merged = dict(self.identity)
        for name, value in fields.items():
            merged[_free(name_of(name), used)] = value
        return merged


def identity_fields(identity: WorkerIdentity) -> Dict[str, str]:
    """The identity as fields of a line."""
    return {name: getattr(identity, name) for name in contract.IDENTITY}


class JsonFormatter(_BaseFormatter):  # type: ignore[misc]
    """A record as one line of JSON: timestamp, level, logger, message, identity, context, extras, exception.

    It can be named in a ``logging.config.dictConfig``, as ``class`` or as ``()``. A line is valid JSON of at most
    16,000 bytes with its newline, whatever the record holds.

    Args:
        fmt: taken for dictConfig's sake and not used, as are ``datefmt``, ``style`` and ``validate``: the fields are
            the contract.
        identity: fields of every line; those of Sedna's environment where it is not given.
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
        super().__init__("%(message)s")
        if identity is None:
            identity = identity_fields(WorkerIdentity.from_env(os.environ))
        self.scope = Scope(identity)
        self._second: Tuple[float, str] = (math.nan, "")
        self._heads: Dict[Tuple[str, str], str] = {}
        self._names: Dict[str, Tuple[str, bool, bool]] = {}

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, without its newline. Does not raise."""
        try:
            return self._format(record)
        except Exception as why:
            # Whatever it was, the line is worth more than the field that broke it.
            said = quote(f"a record of {record.name!s:.200} could not be written: {type(why).__name__}")
            line = f'{self._timestamp(time.time())}","level":"ERROR","logger":"sedna_metrics","message":{said}}}'
            return line.encode("utf-8", "replace").decode()

    def _format(self, record: logging.LogRecord) -> str:
        # The ordinary record's way is written out: a call costs more than what most of these lines do.
        context = CONTEXT.get()
        rendered = context.rendered
        if rendered is None or rendered[0] is not self.scope:
            rendered = self._render(context)
        message, args = record.msg, record.args
        if type(message) is str:
            if args:
                try:
                    message = message % args
                except Exception:
                    message = message_of(record)  # arguments that do not fit, or that raise
        else:
            message = message_of(record)
        second, clock = self._second
        fraction = record.created - second
        parts = [
            "%s%06dZ" % (clock, fraction * 1e6) if 0 <= fraction < 1 else self._timestamp(record.created),  # noqa: UP031
            self._heads.get((record.levelname, record.name)) or self._head(record),
            quote(message) if _is_harmless(message) else "",
            rendered[1],
        ]
        shortened: Optional[Shortened] = None
        if not parts[2]:
            shortened = Shortened()
            parts[2] = quote(clean(message, shortened))
        attributes = record.__dict__
        if len(attributes) > _STANDARD_COUNT or type(record.msg) is dict:
            shortened = self._append_extras(parts, record, rendered[2], shortened)
        if record.exc_info or record.exc_text:
            shortened = shortened or Shortened()
            parts.append(_pair("exception", quote(clean(self._exception(record), shortened))))
        if record.stack_info:
            shortened = shortened or Shortened()
            parts.append(_pair("stack", quote(text_of(record.stack_info, shortened))))
        parts.append("}" if shortened is None or not shortened.happened else ',"truncated":true}')
        line = "".join(parts)
        if line.isascii():
            if len(line) <= _MAX_BYTES:
                return line
        else:
            # A lone surrogate cannot be encoded, and is no character.
            encoded = line.encode("utf-8", "replace")
            if len(encoded) <= _MAX_BYTES:
                return encoded.decode()
        return self._shorter(record, message, rendered[2], context)

    def _timestamp(self, created: float) -> str:
        """Beginning of a line, up to and with the timestamp's text."""
        try:
            second = math.floor(created)
            text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        except (ValueError, OverflowError, OSError):
            return self._timestamp(time.time())  # no time at all: a record that somebody made by hand
        text = f'{{"timestamp":"{text}'
        self._second = (second, text)
        return f"{text}{int((created - second) * 1e6):06d}Z"

    def _head(self, record: logging.LogRecord) -> str:
        level, name = cut_encoded(str(record.levelname), 200)[0], cut_encoded(str(record.name), 1000)[0]
        head = f'","level":{level},"logger":{name},"message":'
        if len(self._heads) < 1000:
            self._heads[record.levelname, record.name] = head
        return head

    def _render(self, context: Bound) -> Tuple[object, str, FrozenSet[str]]:
        scope = self.scope
        fields = scope.merged(context)
        parts: List[str] = []
        budget = _SCOPE_BUDGET
        for name, value in fields.items():
            text = _pair(name, field(name, value, Shortened()))
            if _size(text) > budget:
                text = _pair(name, cut_encoded(text_of(value, Shortened()), min(budget // 2, 400))[0])
                if _size(text) > budget:
                    continue
            budget -= _size(text)
            parts.append(text)
        rendered = context.rendered = (scope, "".join(parts), _RESERVED | frozenset(fields))
        return rendered

    def _append_extras(
        self,
        parts: List[str],
        record: logging.LogRecord,
        taken: FrozenSet[str],
        shortened: Optional[Shortened],
    ) -> Optional[Shortened]:
        event = record.__dict__.get(EVENT_ATTRIBUTE)
        if type(event) is Fields:
            shortened = shortened or Shortened()
            parts.extend([_pair(name, field(name, value, shortened)) for name, value in event.items()])
            parts[3] = self._without(parts[3], event, taken)
            taken = taken | frozenset(event)
        names = self._names
        used: Optional[Set[str]] = None
        # makeLogRecord() and the like may have put them in another order; a dict as message has fields too.
        is_ordinary = type(record) is logging.LogRecord and type(record.msg) is str
        extras = record.__dict__ if is_ordinary else extras_of(record)
        for name, value in islice(extras.items(), _STANDARD_COUNT if is_ordinary else 0, None):
            if is_ordinary and name in _STANDARD:
                continue
            key, is_hidden, is_free = names.get(name) or self._name(name)
            if not is_free or name in taken:
                if used is None:
                    used = {*taken, *map(str, extras)}
                key = _key(_free(name_of(name), used))
            kind = type(value)
            if is_hidden and value:
                parts.append(f'{key}"{MASK}"')
            elif kind is str:
                if (" " not in value and ":" not in value and "=" not in value and len(value) < 1000) or _is_harmless(
                    value
                ):
                    parts.append(key + quote(value))
                else:
                    shortened = shortened or Shortened()
                    parts.append(key + quote(clean(value, shortened)))
            elif kind is float and -1e300 < value < 1e300:
                parts.append(f"{key}{value!r}")
            elif kind is int and -(2**63) <= value < 2**63:
                parts.append(f"{key}{value}")
            elif kind is bool:
                parts.append(f"{key}true" if value else f"{key}false")
            else:
                shortened = shortened or Shortened()
                parts.append(key + field(str(name), value, shortened))
        return shortened

    def _without(self, text: str, event: Fields, taken: FrozenSet[str]) -> str:
        """The scope's text without the fields that an event tells itself."""
        if taken.isdisjoint(event.keys() - _RESERVED):
            return text
        kept = {name: value for name, value in self.scope.merged(CONTEXT.get()).items() if name not in event}
        return "".join(_pair(name, field(name, value, Shortened())) for name, value in kept.items())

    def _name(self, name: Any) -> Tuple[str, bool, bool]:
        # The last: whether it can stand as it is, so that it collides with nobody else's.
        known = (_key(name_of(name)), is_secret(name_of(name)), type(name) is str and name_of(name) == name)
        if len(self._names) < 1000:
            self._names[name] = known
        return known

    def _exception(self, record: logging.LogRecord) -> str:
        # Not record.exc_text, which another handler's formatter may have written in its own way.
        if not record.exc_info:
            return str(record.exc_text)
        try:
            return str(self.formatException(record.exc_info))  # type: ignore[arg-type, unused-ignore]
        except Exception:
            # The exception's own __str__, or its __cause__, cannot be printed.
            kind = record.exc_info[0] if isinstance(record.exc_info, tuple) else type(record.exc_info)
            return f"{getattr(kind, '__name__', 'exception')}: <unprintable>"

    def _shorter(self, record: logging.LogRecord, message: str, taken: FrozenSet[str], context: Bound) -> str:
        """A record that is too long for a line, cut: message, trace and extras, in this order of rights."""
        shortened = Shortened()
        parts = [self._timestamp(record.created), self._head(record)]
        parts.append(cut_encoded(clean(message, shortened), _TEXT_BUDGET)[0])
        parts.append(context.rendered[1] if context.rendered is not None else "")
        event = record.__dict__.get(EVENT_ATTRIBUTE)
        if record.exc_info or record.exc_text:
            quoted = _cut_in_the_middle(clean(self._exception(record), shortened), _TEXT_BUDGET)
            parts.append(_pair("exception", quoted))
        left = _MAX_BYTES - sum(map(_size, parts)) - len(',"truncated":true}')
        fields: Dict[str, Any] = dict(event) if type(event) is Fields else {}
        own = frozenset(fields)
        if own:
            parts[3] = self._without(parts[3], fields, taken)  # type: ignore[arg-type]
        extras = extras_of(record)
        used = {*taken, *own, *(name for name in extras if name_of(name) == name and name not in taken | own)}
        for name, value in extras.items():
            fields[name if name in used and name not in taken | own else _free(name_of(name), used)] = value
        if record.stack_info:
            fields["stack"] = record.stack_info
        for name, value in fields.items():
            text = _pair(name, field(name, value, shortened))
            if _size(text) > left:
                told = value if isinstance(value, str) else text.partition(":")[2]
                room = min(left // 2, 2_000) - _size(_key(name))
                if room < 20:
                    continue
                hidden = is_secret(name)
                text = _pair(name, quote(MASK) if hidden else cut_encoded(clean(told, shortened), room)[0])
            parts.append(text)
            left -= _size(text)
        parts.append(',"truncated":true}')
        return "".join(parts).encode("utf-8", "replace").decode()


class TextFormatter(logging.Formatter):
    """A record for a person at a terminal, with the same context; local time."""

    def __init__(self, identity: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__("%(message)s")
        self.scope = Scope(identity or {})

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, and further lines for what has several. Does not raise."""
        try:
            return self._format(record).encode("utf-8", "replace").decode()
        except Exception as why:
            return f"a record of {record.name!s:.200} could not be written: {type(why).__name__}"

    def _format(self, record: logging.LogRecord) -> str:
        shortened = Shortened()
        fields = Scope({}, self.scope.bound).merged(CONTEXT.get())
        event = record.__dict__.get(EVENT_ATTRIBUTE)
        if type(event) is Fields:
            fields.update((name, value) for name, value in event.items() if name != "event")
        fields.update(extras_of(record))
        shown = " ".join(f"{_visible(name)}={self._value(name, value, shortened)}" for name, value in fields.items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        message = _visible(clean(message_of(record), shortened)).replace("\n", "\n    ")
        text = f"{clock} {record.levelname:<7} {message}{'  ' if shown else ''}{shown}"
        if record.exc_info:
            text += "\n" + _visible(clean(self.formatException(record.exc_info), shortened))
        if record.stack_info:
            text += "\n" + _visible(text_of(record.stack_info, shortened))
        encoded = text.encode("utf-8", "replace")
        if len(encoded) > _MAX_BYTES:
            text = encoded[: _MAX_BYTES - 20].decode("utf-8", "ignore") + " ... (truncated)"
        return text

    def _value(self, name: str, value: object, shortened: Shortened) -> str:
        if value and is_secret(name):
            return MASK
        if isinstance(value, str) and value.isprintable() and value and " " not in value:
            return clean(value, shortened)
        if type(value) is float and math.isfinite(value):
            return f"{value:.6g}"
        return _visible(field(name, value, shortened))


def message_of(record: logging.LogRecord) -> str:
    """The message with its arguments merged, or what can be said where that fails."""
    message: object = record.msg
    if type(message) is dict and not record.args:
        message = message.get("message", "")  # python-json-logger's way: a dict is fields
    if not record.args:
        return message if type(message) is str else text_of(message, Shortened())
    try:
        return str(message) % record.args
    except Exception:
        shortened = Shortened()
        return f"{text_of(message, shortened)} (arguments: {text_of(record.args, shortened)})"


def extras_of(record: logging.LogRecord) -> Dict[str, Any]:
    """What the caller handed in as ``extra``, or as a dict instead of a message."""
    # A record that somebody made may have them in another order.
    attributes = record.__dict__.items()
    own = islice(attributes, _STANDARD_COUNT, None) if type(record) is logging.LogRecord else attributes
    extras = {name: value for name, value in own if name not in _STANDARD}
    if type(record.msg) is dict and not record.args:
        extras.update((name_of(name), value) for name, value in record.msg.items() if name != "message")
    return extras


def _is_harmless(text: str) -> bool:
    """Whether the text is short, and cannot hold a secret: each pattern needs one of these characters."""
    return len(text) < 1000 and ":" not in text and "=" not in text and "earer " not in text and "asic " not in text


def _free(name: str, used: Set[str]) -> str:
    """The name, or one that nothing else has where it is used; it is used then."""
    while name in used:
        name = f"extra_{name}"
    used.add(name)
    return name


def _key(name: str) -> str:
    return f",{quote(name)}:"


def _pair(name: str, value: str) -> str:
    return _key(name) + value


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _cut_in_the_middle(text: str, budget: int) -> str:
    """A trace's JSON string in at most ``budget`` bytes: its end says what was raised, its beginning where from."""
    quoted, is_cut = cut_encoded(text, budget)
    each = min(len(text), budget) // 2
    while is_cut:
        each = each * 3 // 4
        quoted, is_cut = cut_encoded(f"{text[:each]}\n...\n{text[-each:]}", budget)
    return quoted


def _visible(text: str) -> str:
    """The text without control characters, which could repaint the terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text)
