"""What a decorated call, a counter and a gauge cost, alone and under threads, on average and at worst."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
import urllib.request
from time import perf_counter, perf_counter_ns
from typing import Any, Callable, Dict, List

import peers
import prometheus_client
from harness import Row, compare, interleave, per_call, per_call_with, show

import sedna_metrics
from sedna_metrics.metrics import CallHistogram


def nothing() -> None: ...


async def nothing_async() -> None: ...


def calls(rounds: int, number: int) -> List[Row]:
    """Decorated function, decorated coroutine function, counter and gauge."""
    keep: List[Any] = []
    with peers.worker() as worker:
        ji, prometheus = worker.joint_inference, peers.Prometheus.new()
        variants = {
            "decorated": ji.edge_inference(nothing),
            "floor": peers.floor(nothing),
            "prometheus_client": prometheus.observe(nothing),
            "OpenTelemetry": peers.opentelemetry(nothing),
            "statsd": peers.statsd(nothing, keep),
        }
        slow = {"OpenTelemetry", "statsd"}
        rows = compare(
            "decorated inference",
            {name: per_call(each, number // (10 if name in slow else 1)) for name, each in variants.items()},
            "decorated",
            {"floor": 2.0, "prometheus_client": 0.15, "OpenTelemetry": 0.04, "statsd": None},
            rounds,
        )
        rows += compare(
            "decorated coroutine",
            {
                "decorated": _coroutine(ji.cloud_inference(nothing_async), number),
                "prometheus_client": _coroutine(prometheus.observe_coroutine(nothing_async), number),
            },
            "decorated",
            {"prometheus_client": 0.20},
            rounds,
        )
        with worker.incremental_learning.training() as training:
            rows += compare(
                "counter: ji.hard_sample()",
                {"ours": per_call(ji.hard_sample, number), "prometheus_client": per_call(prometheus.count.inc, number)},
                "ours",
                {"prometheus_client": 0.25},
                rounds,
            )
            loss, set_ = training.loss, prometheus.in_progress.set
            rows += compare(
                "gauge: training.loss(x)",
                {"ours": per_call_with(loss, 0.25, number), "prometheus_client": per_call_with(set_, 0.25, number)},
                "ours",
                {"prometheus_client": 0.25},
                rounds,
            )
    for each in keep:
        each.close()
    return rows


def threads(rounds: int, number: int, counts: List[int]) -> List[Row]:
    """The cost of a call with several threads at once, and that none is lost."""
    rows = []
    with peers.worker() as worker:
        decorated = worker.joint_inference.edge_inference(nothing)
        finished: Callable[[], float] = worker.joint_inference._calls("edge").finished
        expected = 0

        def variant(count: int) -> Callable[[], float]:
            def measure() -> float:
                nonlocal expected
                each = number // count
                expected += each * count
                workers = [threading.Thread(target=per_call(decorated, each)) for _ in range(count)]
                began = perf_counter()
                for thread in workers:
                    thread.start()
                for thread in workers:
                    thread.join()
                return (perf_counter() - began) / (each * count) * 1e9

            return measure

        results = interleave({str(count): variant(count) for count in counts}, rounds)
        alone = results[str(counts[0])]
        for count in counts:
            mine = results[str(count)]
            ratio = statistics.median(many / one for many, one in zip(mine, alone)) if count != counts[0] else None
            rows.append(
                Row(
                    f"{count} threads on one decorated function",
                    "decorated",
                    show(statistics.median(mine), "ns"),
                    ratio,
                    "one thread" if ratio else "",
                    1.3 if count == 8 else None,
                )
            )
        lost = expected - finished()
        rows.append(Row("updates lost in these calls", "decorated", f"{lost:.0f} of {expected:,}", lost, "none", 0))
    return rows


def worst_case(number: int, peer_number: int) -> List[Row]:
    """The added cost of the worst calls, with a scrape every second."""
    ours, theirs = _worst_ours(number), _worst_prometheus(peer_number)
    rows = []
    for name, at in (("p50", 0.5), ("p99.99", 0.9999), ("p99.999", 0.99999)):
        mine, other = ours[int(len(ours) * at)], theirs[int(len(theirs) * at)]
        target = 1.0 if name == "p99.99" else None
        rows.append(
            Row(f"{name} of {number:,} calls, a scrape every second", "decorated", show(mine, "ns"), None, "", None)
        )
        rows.append(Row("", "prometheus_client", show(other, "ns"), mine / other, "prometheus_client", target))
        if name == "p99.99":
            rows.append(Row("", "limit of 200 us", "200 us", mine / 200e3, "200 us", 1.0))
    return rows


def _worst_ours(number: int) -> List[float]:
    environ = {"JOB_NAME": "task", "WORKER_NAME": "worker"}
    with sedna_metrics.start(export="pull", host="127.0.0.1", port=0, log="off", environ=environ) as worker:
        assert worker.url is not None
        return _each(worker.joint_inference.edge_inference(nothing), number, worker.url)


def _worst_prometheus(number: int) -> List[float]:
    prometheus = peers.Prometheus.new()
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry=prometheus.registry)
    try:
        return _each(prometheus.observe(nothing), number, f"http://127.0.0.1:{server.server_port}/metrics")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _each(function: Callable[[], object], number: int, url: str) -> List[float]:
    """What each call took, sorted, in nanoseconds."""
    import array

    stop, took = threading.Event(), array.array("q", bytes(8 * number))

    def scrape() -> None:
        while not stop.wait(1):
            urllib.request.urlopen(url).read()

    thread = threading.Thread(target=scrape)
    thread.start()
    for index in range(number):
        began = perf_counter_ns()
        function()
        took[index] = perf_counter_ns() - began
    stop.set()
    thread.join()
    return sorted(took)


def beside_a_scrape(rounds: int, seconds: float) -> List[Row]:
    """What a scrape adds to a loop of inferences of 1 ms beside it: the loop's time with scrapes less that without."""

    def loop(infer: Callable[[], object]) -> float:
        worst = 0.0
        until = perf_counter() + seconds
        count = 0
        began = perf_counter()
        while perf_counter() < until:
            infer()
            count += 1
        worst = (perf_counter() - began) / count
        return worst * 1e9

    def busy() -> None:
        until = perf_counter() + 0.001
        while perf_counter() < until:
            pass

    def measured(infer: Callable[[], object], look: Callable[[], object]) -> Callable[[], float]:
        def measure() -> float:
            quiet = loop(infer)
            stop = threading.Event()

            def scrape() -> None:
                while not stop.wait(0.02):
                    look()

            thread = threading.Thread(target=scrape)
            thread.start()
            try:
                return max(1.0, loop(infer) - quiet)
            finally:
                stop.set()
                thread.join()

        return measure

    registry = prometheus_client.CollectorRegistry()
    with peers.worker() as worker:
        series = many_series(worker, registry, 1000)
        observed, prometheus = worker.joint_inference.edge_inference(busy), peers.Prometheus.new().observe(busy)
        return compare(
            "a 1 ms inference beside scrapes of 1,000 series",
            {
                "ours": measured(observed, series),
                "prometheus_client": measured(prometheus, lambda: prometheus_client.generate_latest(registry)),
            },
            "ours",
            {"prometheus_client": 0.5},
            rounds,
        )


def many_series(
    worker: sedna_metrics.Worker, registry: prometheus_client.CollectorRegistry, count: int
) -> Callable[[], object]:
    """``count`` series of ours, and the same families in prometheus_client's registry; gives our way to write them."""
    from peers import DEFAULT_BUCKETS

    from sedna_metrics._boundary import ErrorBoundary
    from sedna_metrics.catalogue import BY_NAME
    from sedna_metrics.metrics import Instruments

    constant = {"task": "task", "worker": "worker"}
    instruments = Instruments(constant, DEFAULT_BUCKETS, 10 * count, ErrorBoundary())
    names = ["task", "worker"]
    # A third each of counters' kin (gauges by client), scores and histogram lines, as a busy aggregator has them.
    histograms = max(1, count // 60)
    gauges = count - 19 * histograms
    duration = BY_NAME["sedna_inference_duration_seconds"]
    theirs = prometheus_client.Histogram(
        duration.name, duration.help, [*names, "location"], registry=registry, buckets=DEFAULT_BUCKETS
    )
    samples = prometheus_client.Gauge(
        "sedna_node_samples", BY_NAME["sedna_node_samples"].help, [*names, "client"], registry=registry
    )
    dropped = BY_NAME["sedna_metrics_dropped_label_sets_total"]  # what ours say of themselves
    prometheus_client.Counter(dropped.name, dropped.help, names, registry=registry).labels("task", "worker")
    for index in range(gauges):
        instruments.gauge(BY_NAME["sedna_node_samples"], client=f"node-{index}").set(index * 1.5)
        samples.labels("task", "worker", f"node-{index}").set(index * 1.5)
    for index in range(histograms):
        cell: CallHistogram = instruments.call_histogram(duration, location=f"place-{index}")
        child = theirs.labels("task", "worker", f"place-{index}")
        for seconds in (0.0005, 0.003, 0.003, 0.4, 100.0):
            cell.observe(seconds)
            child.observe(seconds)
    return lambda: instruments.render().encode()


def _coroutine(function: Callable[[], Any], number: int) -> Callable[[], float]:
    async def main() -> float:
        loop = range(number)
        began = perf_counter()
        for _ in loop:
            await function()
        return (perf_counter() - began) / number * 1e9

    return lambda: asyncio.run(main())


def growth(rounds: int, number: int) -> Dict[int, float]:
    """Microseconds of a scrape by number of series."""
    costs = {}
    for count in (10, 100, 1000, 10_000, 100_000):
        with peers.worker() as worker:
            write = many_series(worker, prometheus_client.CollectorRegistry(), count)
            took = []
            for _ in range(rounds if count < 10_000 else 3):
                began = time.perf_counter()
                write()
                took.append(time.perf_counter() - began)
            costs[count] = statistics.median(took) * 1e6
    return costs
