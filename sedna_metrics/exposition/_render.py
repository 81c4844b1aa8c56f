"""From a registry to the bytes of a response."""

from __future__ import annotations

import zlib
from typing import Any, Callable, Iterator, List, Optional, Tuple

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.metrics import Instruments, OurMetric

GZIP_LEVEL = 5
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GZIP = 16 + zlib.MAX_WBITS


class _Others(Collector):
    """What a registry holds beside our own families."""

    def __init__(self, metrics: List[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


class Renderer:
    """Writes the exposition of a registry that our instruments are registered in.

    Ours are written by :meth:`Instruments.render`, the worker's own metrics by prometheus_client. Where one of the
    worker's collectors raises, the scrape still brings ours.

    Args:
        registry: what is shown.
        instruments: those of ours in it.
        boundary: takes errors of the worker's collectors.
        refresh: called before each rendering, to add what child processes have counted.
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
        """Everything, in the Prometheus text format 0.0.4."""
        with self._boundary:
            self._refresh()
        ours = self._instruments.render().encode("utf-8")
        with self._boundary:
            others = self._others()
            if others:
                return ours + exposition.generate_latest(_Others(others))
        return ours

    def negotiate(self, accept: str, accept_encoding: str) -> Tuple[bytes, str, Optional[str]]:
        """Body, content type and content encoding for a request with these headers."""
        encoder, content_type = exposition.choose_encoder(accept)
        if content_type.startswith("application/openmetrics-text"):
            body = self._openmetrics(encoder)
        else:
            body, content_type = self.text(), TEXT_TYPE
        if _accepts_gzip(accept_encoding):
            return gzip(body), content_type, "gzip"
        return body, content_type, None

    def _openmetrics(self, encoder: Callable[[Any], bytes]) -> bytes:
        with self._boundary:
            self._refresh()
        metrics: List[Metric] = list(self._instruments.collect())
        with self._boundary:
            return encoder(_Others([*metrics, *self._others()]))
        return encoder(_Others(metrics))

    def _others(self) -> List[Metric]:
        return [metric for metric in self._registry.collect() if not isinstance(metric, OurMetric)]


def gzip(body: bytes) -> bytes:
    """``body`` compressed, without a time stamp: the same bytes for the same metrics."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(body) + compressor.flush()


def _accepts_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        coding, _, parameter = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
