"""Cells and families: no lost update, no torn histogram, the exact text."""

from __future__ import annotations

import math
import signal
import sys
import threading
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.utils import floatToGoString

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics.catalogue import BY_NAME, federated, inference, learning
from sedna_metrics.metrics import CallHistogram, Counter, Gauge, Instruments, last_of, mean_of
from sedna_metrics.metrics._text import format_value

BOUNDS = (0.1, 1.0, 10.0)


@pytest.fixture
def refused():
    return []


@pytest.fixture
def instruments():
    return Instruments({"task": "t", "worker": "w"}, BOUNDS, 3, ErrorBoundary())


def reject_into(refused):
    return lambda value, why: refused.append(value)


def test_a_counter_counts_by_one_by_many_and_by_the_miners_answer(refused):
    counter = Counter(reject_into(refused))
    for amount in (None, 1, 5, 1000, True, False, np.bool_(True), np.bool_(False), np.int64(3), 0, 2.0):
        counter.inc(amount) if amount is not None else counter.inc()
    assert counter.value() == 1 + 1 + 5 + 1000 + 1 + 0 + 1 + 0 + 3 + 0 + 2
    assert refused == []


@pytest.mark.parametrize("bad", [-1, 0.5, math.nan, math.inf, "1", [1], object()])
def test_a_counter_refuses_what_is_no_count(bad, refused):
    counter = Counter(reject_into(refused))
    counter.inc(bad)
    assert counter.value() == 0
    assert len(refused) == 1


@pytest.mark.parametrize("good", [1, 2.5, np.float32(2.5), np.array([2.5]), True, Decimal("2.5"), np.array(2.5)])
def test_a_gauge_takes_what_frameworks_call_a_number(good, refused):
    gauge = Gauge(reject_into(refused))
    gauge.set(good)
    assert gauge.value() == float(np.asarray(good, dtype=float).reshape(-1)[0])
    assert refused == []


@pytest.mark.parametrize("bad", ["2.5", b"1", None, [1, 2], {}, object(), np.array([1.0, 2.0])])
def test_a_gauge_refuses_what_is_no_number_and_keeps_the_last_good_value(bad, refused):
    gauge = Gauge(reject_into(refused))
    gauge.set(1.5)
    gauge.set(bad)
    assert gauge.value() == 1.5
    assert len(refused) == 1


@pytest.mark.parametrize("bad", [-1, -0.5, math.nan, math.inf])
def test_a_gauge_with_a_minimum_refuses_what_lies_below(bad, refused):
    gauge = Gauge(reject_into(refused), minimum=0)
    gauge.set(bad)
    assert gauge.value() is None
    assert len(refused) == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, np.float64("nan"), [0.1, math.nan]])
def test_a_loss_that_is_not_finite_is_kept_and_counted(loss, refused):
    counted = []
    gauge = Gauge(reject_into(refused), convert=last_of, on_nonfinite=lambda: counted.append(1))
    gauge.set(0.5)
    gauge.set(loss)
    assert not math.isfinite(gauge.value())
    assert (len(counted), refused) == (1, [])


def test_a_history_gives_its_last_value_and_scores_by_class_their_mean():
    assert last_of([[3.0], [2.0, 1.0]]) == 1.0
    assert last_of(np.array([[3.0], [0.5]])) == 0.5
    assert mean_of([0.5, [1.0, 0.0], np.array([0.5, 0.5])]) == 0.5
    with pytest.raises(ValueError, match="empty"):
        mean_of([])


@given(st.lists(st.floats(0, 100), max_size=700))
def test_a_histogram_counts_each_duration_in_its_bucket(durations):
    latency = CallHistogram(BOUNDS, reject_into([]))
    for seconds in durations:
        latency.observe(seconds)
    counts, total = latency.histogram()
    expected = [sum(low < each <= high for each in durations) for low, high in zip((-1, *BOUNDS), (*BOUNDS, 1e9))]
    assert list(counts) == expected
    assert total == pytest.approx(sum(durations))
    assert latency.finished() == len(durations)


def test_no_update_is_lost_and_no_histogram_is_torn_under_threads():
    latency, counter = CallHistogram(BOUNDS, reject_into([])), Counter(reject_into([]))
    threads, calls, torn, stop = 8, 20_000, [], threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def work():
        for _ in range(calls):
            latency.observe(0.5)
            counter.inc()

    def scrape():
        while not stop.is_set():
            counts, total = latency.histogram()
            if total != pytest.approx(0.5 * sum(counts)) or latency.in_progress() < 0:
                torn.append((counts, total))

    try:
        scraper = threading.Thread(target=scrape)
        workers = [threading.Thread(target=work) for _ in range(threads)]
        for thread in [scraper, *workers]:
            thread.start()
        for thread in workers:
            thread.join()
        stop.set()
        scraper.join()
    finally:
        sys.setswitchinterval(interval)
    assert latency.finished() == counter.value() == threads * calls
    assert sum(latency.histogram().counts) == threads * calls
    assert latency.in_progress() == 0
    assert torn == []


def test_what_is_pending_does_not_pile_up():
    latency = CallHistogram(BOUNDS, reject_into([]))
    for _ in range(10_000):
        latency.observe(0.5)
    assert len(latency._pending) <= 256


@given(st.floats())
def test_numbers_are_written_as_prometheus_client_writes_them(number):
    assert format_value(number) == floatToGoString(number)


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, 999999.0, 1e6, 1234567.5, 1e15, 1e16, 1.5e300, -1e7, 2.0**53])
def test_numbers_around_the_change_of_notation(number):
    assert format_value(number) == floatToGoString(number)


hostile = st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace").decode("utf-8"))


@given(task=hostile, url=hostile, score=st.floats(), count=st.integers(0, 10**12))
def test_the_text_is_byte_for_byte_prometheus_clients_and_reads_back(task, url, score, count):
    instruments = Instruments({"task": task, "worker": "w"}, BOUNDS, 10)
    instruments.info(learning.TRAINING_OUTPUT_MODEL).set({"url": url})
    instruments.gauge(learning.EVAL_SCORE, model="new", metric="f1").set(score)
    instruments.counter(inference.HARD_SAMPLES).inc(count)
    instruments.state(learning.DEPLOY_STATUS).set("ok")
    instruments.call_histogram(inference.DURATION, location="edge").observe(0.2)
    registry = CollectorRegistry()
    registry.register(instruments)
    text = instruments.render()
    assert text.encode() == generate_latest(registry)
    for parse, document in ((parse_text, text), (parse_openmetrics, generate_openmetrics(registry).decode())):
        samples = {sample.name: sample for family in parse(document) for sample in family.samples}
        assert samples["sedna_hard_samples_total"].value == count
        assert samples["sedna_training_output_model_info"].labels["url"] == url
        assert samples["sedna_training_output_model_info"].labels["task"] == task
        assert samples["sedna_inference_duration_seconds_count"].value == 1
        read = samples["sedna_eval_score"].value
        assert read == score or (math.isnan(read) and math.isnan(score))


def test_label_sets_above_the_limit_are_counted_and_counted_as_other(instruments):
    for number in range(5):
        instruments.gauge(BY_NAME["sedna_node_samples"], client=f"n{number}").set(number)
    samples = {sample.name: {} for family in instruments.collect() for sample in family.samples}
    for family in instruments.collect():
        for sample in family.samples:
            samples[sample.name][sample.labels.get("client")] = sample.value
    assert samples["sedna_node_samples"] == {"n0": 0, "n1": 1, "n2": 2, "other": 4}
    assert samples["sedna_metrics_dropped_label_sets_total"] == {None: 2}


def test_a_label_set_has_one_cell(instruments):
    metric = BY_NAME["sedna_node_samples"]
    assert instruments.gauge(metric, client="a") is instruments.gauge(metric, client="a")


def test_wrong_labels_and_wrong_forms_are_programming_errors(instruments):
    with pytest.raises(ValueError, match="labels"):
        instruments.gauge(BY_NAME["sedna_node_samples"], nodes="a")
    with pytest.raises(TypeError, match="gauge"):
        instruments.counter(BY_NAME["sedna_node_samples"], client="a")


def test_a_metric_without_samples_is_not_shown(instruments):
    instruments.gauge(learning.TRAINING_LOSS)
    assert "sedna_training_loss" not in instruments.render()
    assert "sedna_training_loss" not in [metric.name for metric in instruments.collect()]


def test_a_signal_handler_may_count_read_and_make_series_at_any_moment():
    """It interrupts the thread that folds, makes a series, or counts: no lock is held for ever, no update is lost."""
    instruments = Instruments({}, BOUNDS, 1000)
    latency = instruments.call_histogram(inference.DURATION, location="edge")
    hard = instruments.counter(inference.HARD_SAMPLES)
    counts, sums, handled = [], [], 0

    def handle(number, frame):
        nonlocal handled
        handled += 1
        counts.append(latency.finished())
        sums.append(hard.value())
        assert sum(latency.histogram().counts) == counts[-1]
        instruments.gauge(federated.NODE_SAMPLES, client=str(handled % 50)).set(handled)
        hard.inc(100)
        latency.observe(0.001)
        instruments.render()
        signal.setitimer(signal.ITIMER_REAL, 0.001)  # again, but never within itself

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    try:
        for done in range(20_000):
            latency.observe(0.001)
            hard.inc(100)
            instruments.gauge(federated.NODE_SAMPLES, client=str(done % 50))
            if not done % 100:
                instruments.render()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled > 20
    assert counts == sorted(counts)
    assert sums == sorted(sums)
    assert sum(latency.histogram().counts) == 20_000 + handled
    assert hard.value() == 100 * (20_000 + handled)
    assert len(list(instruments.families[-1].series())) <= 1000
    text = instruments.render()
    assert len(text.splitlines()) == len(set(text.splitlines())), "no series twice"
