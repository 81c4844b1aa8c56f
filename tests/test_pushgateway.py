"""Pushes, against a real Pushgateway."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from support import eventually

from sedna_metrics.exposition.pushgateway import group_path


def groups(gateway):
    return requests.get(f"{gateway.url}/api/v1/metrics", timeout=5).json()["data"]


def pushed(gateway):
    text = requests.get(f"{gateway.url}/metrics", timeout=5).text
    return {
        sample.name: sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("job") == "sedna-worker"
    }


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("plain", "task/plain"),
        ("a b%", "task@base64/YSBiJQ=="),
        ("a/b", "task@base64/YS9i"),
        ("", "task@base64/="),
        ("..", "task@base64/Li4="),
    ],
)
def test_a_group_is_named_by_its_url(value, path):
    assert group_path({"task": value, "job": "j"}) == f"/metrics/job/j/{path}"


def test_what_is_measured_is_pushed_at_an_interval_and_at_the_end(start, pushgateway):
    worker = start(
        {"WORKER_NAME": "train-worker-x", "NODE_NAME": "edge", "NAMESPACE": "ns"},
        export="auto",
        pushgateway_url=pushgateway.url,
        push_interval=0.1,
    )
    worker.incremental_learning.iteration(3)
    eventually(lambda: pushed(pushgateway).get("sedna_iteration"))
    worker.incremental_learning.iteration(4)
    worker.close()
    sample = pushed(pushgateway)["sedna_iteration"]
    assert sample.value == 4
    assert sample.labels["namespace"] == "ns"
    assert sample.labels["worker_type"] == "train"
    assert sample.labels["instance"] == "edge"


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)", "1/0"])
def test_the_last_state_arrives_however_the_script_ends(pushgateway, ending):
    script = f"""
        import sedna_metrics
        worker = sedna_metrics.start(pushgateway_url={pushgateway.url!r}, export="push", push_interval=60)
        worker.joint_inference.hard_sample(7)
        {ending}
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == {"pass": 0, "1/0": 1}.get(ending, 3)
    assert pushed(pushgateway)["sedna_hard_samples_total"].value == 7


@pytest.mark.parametrize("hostile", ["a\nb", 'q"uote', "sl/ash", "x" * 10_000, "ü", "a b", "%2F", "..", "."])
def test_a_hostile_job_name_gives_one_group_with_that_name(start, pushgateway, hostile):
    worker = start({"JOB_NAME": hostile}, export="push", pushgateway_url=pushgateway.url, push_interval=60)
    worker.close()
    (group,) = groups(pushgateway)
    assert group["labels"]["task"] == worker.identity.task


def test_runs_of_one_role_leave_one_group_and_workers_side_by_side_leave_each_their_own(start, pushgateway):
    for run in range(3):
        start(
            {"WORKER_NAME": f"train-worker-{run}", "NODE_NAME": "edge"}, export="push", pushgateway_url=pushgateway.url
        ).close()
    assert len(groups(pushgateway)) == 1
    for dataset in ("one", "two", "three"):
        start(
            {"WORKER_NAME": f"trainworker-{dataset}", "NODE_NAME": "edge", "DATASET_NAME": dataset, "JOB_NAME": "fl"},
            export="push",
            pushgateway_url=pushgateway.url,
        ).close()
    assert len(groups(pushgateway)) == 4


def test_of_a_distributed_training_rank_0_alone_pushes(start, pushgateway):
    environ = {"JOB_NAME": "ranks", "WORKER_NAME": "train-worker-x", "NODE_NAME": "n"}
    for rank, status in (("0", None), ("1", OSError("lost"))):
        worker = start({**environ, "LOCAL_RANK": rank}, export="push", pushgateway_url=pushgateway.url)
        with contextlib.suppress(OSError), worker.incremental_learning.training():
            if status is not None:
                raise status
        assert worker.flush()
        worker.close()
    text = requests.get(f"{pushgateway.url}/metrics", timeout=5).text
    (status,) = [line for line in text.splitlines() if line.startswith("sedna_stage_status") and line.endswith(" 1")]
    assert 'status="completed"' in status
