"""Joint inference, observed on stand-ins: each sample, inference and error counted once, where it happened."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from support import samples, value

import sedna_metrics


class Estimator:
    def predict(self, data, **kwargs):
        if data is None:
            raise ValueError("a broken frame")
        return data


@pytest.fixture
def module(sedna, start):
    worker = start({"SERVICE_NAME": "helmet", "JOB_NAME": "", "WORKER_NAME": "edgeworker-x"})
    with sedna_metrics.observe_sedna(worker):
        module = sedna("core.joint_inference.joint_inference")
        module.worker = worker
        sedna("service.client").ModelClient.answers = ({"result": "cloud"},)
        yield module


def numbers(worker):
    return {
        "samples": value(worker, "sedna_inference_samples_total"),
        "edge": value(worker, "sedna_inferences_total", location="edge"),
        "cloud": value(worker, "sedna_inferences_total", location="cloud"),
        "edge_errors": value(worker, "sedna_inference_errors_total", location="edge"),
        "cloud_errors": value(worker, "sedna_inference_errors_total", location="cloud"),
        "hard": value(worker, "sedna_hard_samples_total"),
    }


def expect(worker, **given):
    assert numbers(worker) == {**dict.fromkeys(numbers(worker), 0), **given}


def test_series_are_there_before_the_first_sample(module):
    module.JointInference(Estimator())
    expect(module.worker)
    (labels,) = [dict(labels) for name, labels in samples(module.worker) if name == "sedna_worker_info"]
    assert (labels["kind"], labels["worker_type"]) == ("jointinferenceservice", "edge")
    assert module.worker.identity.task == "helmet"
    assert value(module.worker, "sedna_served_inferences_total") is None


@pytest.mark.parametrize("yes", [True, np.bool_(True), 1])
def test_inference_then_mining_counts_a_hard_sample_at_both_places(module, yes):
    job = module.JointInference(Estimator(), lambda result: yes if result > 1 else np.bool_(False))
    assert [job.inference(sample)[1] for sample in (1, 2, 3)] == [1, "cloud", "cloud"]
    expect(module.worker, samples=3, edge=3, cloud=2, hard=2)


def test_mining_then_inference_counts_a_sample_at_one_place(module):
    job = module.JointInference(Estimator(), lambda sample: sample > 1)
    job.mining_first = True
    for sample in (1, 2, 3):
        job.inference(sample)
    expect(module.worker, samples=3, edge=1, cloud=2, hard=2)


def test_without_a_miner_no_sample_is_hard(module):
    job = module.JointInference(Estimator())
    assert job.inference(5) == [False, 5, 5, None]
    expect(module.worker, samples=1, edge=1)


def test_a_cloud_that_fails_is_an_error_and_the_sample_is_hard_all_the_same(module, sedna):
    sedna("service.client").ModelClient.answers = (ConnectionError(), {"result": 1}, {"detail": "no result in it"})
    job = module.JointInference(Estimator(), lambda result: True)
    assert [job.inference(1)[3] for _ in range(3)] == [None, 1, None]
    expect(module.worker, samples=3, edge=3, cloud=1, cloud_errors=2, hard=3)


def test_a_hard_sample_that_sedna_cannot_send_is_a_cloud_error(module):
    class Image(int):
        def tolist(self):
            raise MemoryError

    job = module.JointInference(Estimator(), lambda result: True)
    assert [job.inference(sample)[3] for sample in (Image(1), 2, Image(3))] == [None, "cloud", None]
    expect(module.worker, samples=3, edge=3, cloud=1, cloud_errors=2, hard=3)


def test_a_cloud_error_that_leaves_inference_is_the_same_object_and_the_sample_is_hard(module, sedna):
    error = ConnectionError()
    sedna("service.client").ModelClient.answers = (error,)
    job = module.JointInference(Estimator(), lambda sample: True)
    job.mining_first = True
    with pytest.raises(ConnectionError) as caught:
        job.inference(1)
    assert caught.value is error
    expect(module.worker, samples=1, cloud_errors=1, hard=1)


def test_an_estimator_that_raises_is_an_edge_error(module):
    job = module.JointInference(Estimator(), lambda result: True)
    with pytest.raises(ValueError, match="a broken frame"):
        job.inference(None)
    expect(module.worker, samples=1, edge_errors=1)


def test_an_interrupt_passes(module):
    class Interrupted:
        def predict(self, data):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module.JointInference(Interrupted()).inference(1)
    assert module.worker.guard.errors() == 0


def test_post_processing_is_handed_on(module):
    job = module.JointInference(Estimator())
    assert job.inference(2, lambda result: result * 10) == [False, 20, 2, None]
    assert job.inference(data=2, post_process=lambda result: result * 10) == [False, 20, 2, None]


def test_several_threads_lose_nothing(module):
    job = module.JointInference(Estimator(), lambda result: result % 2)
    threads = [threading.Thread(target=lambda: [job.inference(sample) for sample in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(module.worker, samples=2000, edge=2000, cloud=1000, hard=1000)


def test_the_cloud_worker_serves(sedna, start):
    worker = start({"SERVICE_NAME": "helmet", "WORKER_NAME": "plain"})
    with sedna_metrics.observe_sedna(worker):
        service = sedna("core.joint_inference.joint_inference").BigModelService(Estimator())
        assert value(worker, "sedna_served_inferences_total") == 0
        assert service.inference(1) == 1
        with pytest.raises(ValueError, match="broken"):
            service.inference(None)
    assert value(worker, "sedna_served_inferences_total") == 1
    assert value(worker, "sedna_served_inference_errors_total") == 1
    assert value(worker, "sedna_inferences_total", location="edge") is None
    assert (worker.identity.kind, worker.identity.worker_type) == ("jointinferenceservice", "cloud")
