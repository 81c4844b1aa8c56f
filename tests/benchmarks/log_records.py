"""What a log record costs: the formatter alone, and the whole way from ``logger.info()`` to a stream that forgets."""

from __future__ import annotations

import io
import logging
from typing import Any, Callable, Dict, List

import structlog
from harness import Row, compare, per_call

try:
    from pythonjsonlogger.json import JsonFormatter as Theirs
except ImportError:  # python-json-logger 2
    from pythonjsonlogger.jsonlogger import JsonFormatter as Theirs

from sedna_metrics.logs import JsonFormatter, _formatters, _setup

IDENTITY = {
    "namespace": "default", "task": "digits-joint-inference", "worker": "edgeworker-x2x5q",
    "kind": "jointinferenceservice", "worker_type": "edge", "node": "edge-node-1",
}  # fmt: skip
FIELDS = {"iteration": 7, "loss": 0.123456, "stage": "train", "samples": 1200, "hard": True}


def records(rounds: int, number: int) -> List[Row]:
    """One record with the identity and five fields."""
    record = logging.makeLogRecord({})
    logger = logging.Logger("benchmark")
    made: List[logging.LogRecord] = []
    keep = logging.Handler()
    keep.emit = made.append  # type: ignore[method-assign]
    logger.addHandler(keep)
    logger.info("epoch %d done", 3, extra=FIELDS)
    record = made[0]
    _formatters.orjson = None  # measured apart
    formatters: Dict[str, logging.Formatter] = {
        "ours": JsonFormatter(identity=IDENTITY),
        "python-json-logger": Theirs("%(asctime)s %(levelname)s %(name)s %(message)s", static_fields=IDENTITY),
        "standard library, plain text": logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"),
    }
    rows = compare(
        "format a record with identity and five fields",
        {name: per_call(lambda f=each: f.format(record), number) for name, each in formatters.items()},
        "ours",
        {"python-json-logger": None, "standard library, plain text": None},
        rounds,
    )
    with open("/dev/null", "w") as nowhere:
        handler = _setup._Handler(nowhere)
        handler.setFormatter(formatters["ours"])
        ours = _logging(handler)
        ways: Dict[str, Callable[[], object]] = {
            "ours": ours,
            "ours with orjson": _with_orjson(ours),
            "python-json-logger": _logging(_stream(nowhere, formatters["python-json-logger"])),
            "standard library, plain text": _logging(_stream(nowhere, formatters["standard library, plain text"])),
            "structlog with orjson": _structlog(),
        }
        for variant, target in (("ours", 1.0), ("ours with orjson", 0.8)):
            rows += compare(
                f"{variant}: from logger.info() to /dev/null",
                {name: per_call(each, number) for name, each in ways.items() if name == variant or "ours" not in name},
                variant,
                {"python-json-logger": target, "standard library, plain text": None, "structlog with orjson": None},
                rounds,
            )
    return rows


def _with_orjson(call: Callable[[], object]) -> Callable[[], object]:
    import orjson

    def with_orjson() -> object:
        _formatters.orjson = orjson
        try:
            return call()
        finally:
            _formatters.orjson = None

    return with_orjson


def _logging(handler: logging.Handler) -> Callable[[], object]:
    logger = logging.Logger("benchmark", logging.INFO)
    logger.addHandler(handler)
    return lambda: logger.info("epoch %d done", 3, extra=FIELDS)


def _stream(stream: Any, formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    return handler


def _structlog() -> Callable[[], object]:
    import orjson

    logger = structlog.wrap_logger(
        structlog.BytesLogger(io.FileIO("/dev/null", "w")),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        cache_logger_on_first_use=True,
    ).bind(**IDENTITY)
    return lambda: logger.info("epoch 3 done", **FIELDS)
