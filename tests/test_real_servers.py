"""Against a real Prometheus, its promtool, and the parsers of prometheus_client."""

from __future__ import annotations

import subprocess

import pytest
import requests
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from support import eventually, everything, program


def query(prometheus, expression):
    answer = requests.get(f"{prometheus.url}/api/v1/query", params={"query": expression}, timeout=5).json()
    return [float(result["value"][1]) for result in answer["data"]["result"]]


def configuration(*targets, extra=""):
    quoted = ", ".join(f'"{target}"' for target in targets)
    return (
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs:\n  - job_name: workers\n    static_configs: [{{targets: [{quoted}]}}]\n{extra}"
    )


def test_promql_gives_back_what_was_counted(start, prometheus):
    worker = start({"JOB_NAME": 'ta"sk\n'}, export="pull", host="127.0.0.1", port=0)
    ji = worker.joint_inference
    for number in range(1234):
        with ji.edge_inference():
            ji.hard_sample(number % 4 == 0)
    server = prometheus(configuration(worker.url[len("http://") : -len("/metrics")]))
    selector = '{task="ta\\"sk"}'
    eventually(lambda: query(server, f"sedna_inferences_total{selector}") == [1234])
    assert query(server, f"sedna_hard_samples_total{selector}") == [309]
    assert query(server, f'sedna_inference_duration_seconds_bucket{{le="+Inf",{selector[1:]}') == [1234]
    assert query(server, f"sedna_hard_samples_total{selector} / sedna_inference_samples_total") == [309 / 1234]
    assert query(server, "up") == [1]


def test_a_pushed_group_comes_through_prometheus_with_its_labels(start, prometheus, pushgateway):
    extra = (
        f'  - job_name: gateway\n    honor_labels: true\n    static_configs: [{{targets: ["{pushgateway.url[7:]}"]}}]'
    )
    server = prometheus(configuration("127.0.0.1:1", extra=extra))
    worker = start({"NODE_NAME": "edge"}, export="push", pushgateway_url=pushgateway.url)
    worker.federated_learning.train_nodes(5)
    worker.close()
    selector = 'sedna_train_nodes{job="sedna-worker",instance="edge",task="task",worker="worker"}'
    eventually(lambda: query(server, selector) == [5])


@pytest.fixture
def full(start):
    worker = start(export="both", port=0, host="127.0.0.1", pushgateway_url="http://127.0.0.1:9", push_deadline=0.1)
    everything(worker)
    worker.success()
    return worker


def test_promtool_has_nothing_to_say_about_the_exposition(full):
    text = requests.get(full.url, timeout=5).text
    done = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_both_parsers_of_prometheus_client_read_the_same_values(full):
    text = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(requests.get(full.url, timeout=5).text)
        for sample in family.samples
    }
    open_ = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_openmetrics(generate_openmetrics(full.registry).decode())
        for sample in family.samples
    }
    changing = {key for key in text if key[0].startswith("sedna_metrics_push")}
    assert {key: value for key, value in text.items() if key not in changing} == {
        key: value for key, value in open_.items() if key not in changing
    }
