"""Multi-edge inference, observed on stand-ins: each call of process_data, and each item handed to it."""

from __future__ import annotations

import numpy as np
import pytest
from support import value, values

import sedna_metrics

COMPONENTS = "core.multi_edge_inference.components"


class Model:
    def inference(self, data):
        if data is None:
            raise ValueError("a broken frame")
        return list(data)


def service(sedna, module="detector", owner="ObjectDetector"):
    return getattr(sedna(f"{COMPONENTS}.{module}"), owner)(models=[Model()])


def test_each_call_is_an_inference_and_each_item_a_sample(sedna, start):
    worker = start()
    with sedna_metrics.observe_sedna(worker):
        detector = service(sedna)
        assert value(worker, "sedna_inference_samples_total") == 0
        assert value(worker, "sedna_inferences_total", location="edge") == 0
        detector.put([1, 2, 3])
        detector.process_data(Model(), data=np.zeros(2))
        assert list(detector.result) == [0, 0]
        with pytest.raises(ValueError, match="a broken frame"):
            detector.put(None)
    assert value(worker, "sedna_inference_samples_total") == 5, "what has no length is not counted"
    assert value(worker, "sedna_inferences_total", location="edge") == 2
    assert value(worker, "sedna_inference_errors_total", location="edge") == 1
    assert value(worker, "sedna_inference_duration_seconds_count", location="edge") == 2
    assert value(worker, "sedna_inferences_in_progress", location="edge") == 0
    assert value(worker, "sedna_hard_samples_total") is None
    assert {dict(labels)["location"] for labels in values(worker, "sedna_inferences_total")} == {"edge"}


@pytest.mark.parametrize(
    ("module", "owner", "kind", "worker_type"),
    [
        ("detector", "ObjectDetector", "videoanalyticsjob", "videoanalytics"),
        ("feature_extraction", "FEService", "featureextractionservice", "fe"),
        ("reid", "ReID", "reidjob", "reid"),
    ],
)
def test_the_class_in_use_says_what_the_environment_does_not(sedna, start, module, owner, kind, worker_type):
    worker = start({"JOB_NAME": "job", "WORKER_NAME": "ab1c2"})
    with sedna_metrics.observe_sedna(worker):
        service(sedna, module, owner)
    assert (worker.identity.kind, worker.identity.worker_type) == (kind, worker_type)


def test_what_the_environment_says_counts(sedna, start):
    worker = start({"SERVICE_NAME": "search", "WORKER_NAME": "trackingworker-x"})
    with sedna_metrics.observe_sedna(worker):
        service(sedna)
    assert (worker.identity.kind, worker.identity.worker_type) == ("objectsearchservice", "tracking")


def test_a_failure_of_ours_changes_nothing(request, sedna, start, mocker):
    request.node.add_marker("internal_errors")
    worker = start()
    mocker.patch.object(type(worker), "multi_edge_inference", property(lambda self: 1 / 0))
    with sedna_metrics.observe_sedna(worker):
        detector = service(sedna)
        detector.put([1, 2])
        assert detector.result == [1, 2]
