"""The bytes of a response, in the Prometheus text format 0.0.4, which every scraper accepts."""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, exposition

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.metrics import Instruments, OurMetric

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(registry: CollectorRegistry, instruments: Instruments, boundary: ErrorBoundary) -> bytes:
    """The registry's exposition: prometheus_client writes the script's own metrics. If those fail, ours stay."""
    ours = instruments.render().encode("utf-8")
    with boundary:
        others = [metric for metric in registry.collect() if not isinstance(metric, OurMetric)]
        as_registry: Any = SimpleNamespace(collect=lambda: others)
        return ours + exposition.generate_latest(as_registry) if others else ours
    return ours


def gzip(body: bytes) -> bytes:
    """``body`` compressed, without a time stamp: the same bytes for the same metrics."""
    compressor = zlib.compressobj(5, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for part in header.lower().split(","):
        coding, _, parameter = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
