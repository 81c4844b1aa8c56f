"""From a registry to the bytes of a response, in the Prometheus text format 0.0.4, which every scraper accepts."""

from __future__ import annotations

import zlib
from typing import Callable, Iterator, List

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.metrics import Instruments, OurMetric

GZIP_LEVEL = 5
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GZIP = 16 + zlib.MAX_WBITS


class _Others(Collector):
    def __init__(self, metrics: List[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


class Renderer:
    """Writes the exposition of a registry that our instruments are registered in.

    :meth:`Instruments.render` writes ours, prometheus_client the script's own metrics. If a collector of the script
    raises, ours are still exposed. ``refresh`` is called before each rendering, to add the counts of child processes.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        instruments: Instruments,
        boundary: ErrorBoundary,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._instruments = instruments
        self._boundary = boundary
        self._refresh = refresh

    def text(self) -> bytes:
        """Everything."""
        with self._boundary:
            self._refresh()
        ours = self._instruments.render().encode("utf-8")
        with self._boundary:
            others = [metric for metric in self._registry.collect() if not isinstance(metric, OurMetric)]
            return ours + exposition.generate_latest(_Others(others)) if others else ours
        return ours


def gzip(body: bytes) -> bytes:
    """``body`` compressed, without a time stamp: the same bytes for the same metrics."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(body) + compressor.flush()


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for part in header.lower().split(","):
        coding, _, parameter = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
