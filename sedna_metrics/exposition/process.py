"""CPU, memory and file descriptors of the process, as prometheus_client collects them, with the worker's labels."""

from __future__ import annotations

from typing import Iterator, Mapping

from prometheus_client import PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class ProcessMetrics(Collector):
    """``process_*`` and ``python_info`` of prometheus_client, with ``labels`` added."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = dict(labels)
        self._collectors = (ProcessCollector(registry=None), PlatformCollector(registry=None))

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            for family in collector.collect():
                family.samples = [
                    sample._replace(labels={**self._labels, **sample.labels}) for sample in family.samples
                ]
                yield family
