"""The same work by hand, done well, with each peer: in progress, count, duration, failures of an inference."""

from __future__ import annotations

import socket
from time import perf_counter
from typing import Any, Callable, List, NamedTuple

import prometheus_client
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from statsd import StatsClient

import sedna_metrics
from sedna_metrics import settings

DEFAULT_BUCKETS = settings.load({}).buckets

Function = Callable[..., Any]
LABELS = {"task": "task", "worker": "worker", "location": "edge"}


def worker() -> sedna_metrics.Worker:
    """A worker that nobody looks at."""
    return sedna_metrics.start(export="off", log="off", environ={"JOB_NAME": "task", "WORKER_NAME": "worker"})


def floor(function: Function) -> Function:
    """Two readings of the clock and nothing else: what any wrapper that times has to cost."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = perf_counter()
        try:
            result = function(*args, **kwargs)
        except BaseException:
            raise
        perf_counter() - began
        return result

    return wrapper


class Prometheus(NamedTuple):
    """prometheus_client's children, labels bound."""

    registry: prometheus_client.CollectorRegistry
    count: Any
    errors: Any
    in_progress: Any
    duration: Any

    @classmethod
    def new(cls) -> Prometheus:
        registry = prometheus_client.CollectorRegistry()
        names = list(LABELS)
        return cls(
            registry,
            prometheus_client.Counter("inferences", "Inferences.", names, registry=registry).labels(**LABELS),
            prometheus_client.Counter("errors", "Errors.", names, registry=registry).labels(**LABELS),
            prometheus_client.Gauge("in_progress", "Under way.", names, registry=registry).labels(**LABELS),
            prometheus_client.Histogram(
                "duration_seconds", "Durations.", names, registry=registry, buckets=DEFAULT_BUCKETS
            ).labels(**LABELS),
        )

    def observe(self, function: Function) -> Function:
        _, count, errors, in_progress, duration = self

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            in_progress.inc()
            began = perf_counter()
            try:
                result = function(*args, **kwargs)
            except BaseException:
                errors.inc()
                raise
            finally:
                in_progress.dec()
            duration.observe(perf_counter() - began)
            count.inc()
            return result

        return wrapper

    def observe_coroutine(self, function: Function) -> Function:
        _, count, errors, in_progress, duration = self

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            in_progress.inc()
            began = perf_counter()
            try:
                result = await function(*args, **kwargs)
            except BaseException:
                errors.inc()
                raise
            finally:
                in_progress.dec()
            duration.observe(perf_counter() - began)
            count.inc()
            return result

        return wrapper


def opentelemetry(function: Function) -> Function:
    """OpenTelemetry's SDK with a reader that is asked when somebody looks."""
    view = View(
        instrument_name="duration", aggregation=ExplicitBucketHistogramAggregation(boundaries=list(DEFAULT_BUCKETS))
    )
    meter = MeterProvider([InMemoryMetricReader()], views=[view]).get_meter("benchmark")
    count, errors = meter.create_counter("inferences"), meter.create_counter("errors")
    in_progress, duration = meter.create_up_down_counter("in_progress"), meter.create_histogram("duration")

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        in_progress.add(1, LABELS)
        began = perf_counter()
        try:
            result = function(*args, **kwargs)
        except BaseException:
            errors.add(1, LABELS)
            raise
        finally:
            in_progress.add(-1, LABELS)
        duration.record(perf_counter() - began, LABELS)
        count.add(1, LABELS)
        return result

    return wrapper


def statsd(function: Function, keep: List[Any]) -> Function:
    """statsd over UDP to a port that takes and forgets; durations, counts and a gauge as it has them, in one packet."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))
    client = StatsClient("127.0.0.1", sink.getsockname()[1])
    keep += [sink, client]

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = perf_counter()
        with client.pipeline() as pipe:
            pipe.gauge("in_progress", 1, delta=True)
            try:
                result = function(*args, **kwargs)
            except BaseException:
                pipe.incr("errors")
                raise
            finally:
                pipe.gauge("in_progress", -1, delta=True)
            pipe.timing("duration", (perf_counter() - began) * 1000)
            pipe.incr("inferences")
        return result

    return wrapper
