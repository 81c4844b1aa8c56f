"""Multi-edge inference, observed on stand-ins: each call of process_data, and the items handed to it."""

from __future__ import annotations

import pytest
from support import value, values

import sedna_metrics

COMPONENTS = {"detector": "ObjectDetector", "feature_extraction": "FEService", "reid": "ReID"}


class Model:
    def inference(self, data):
        if data == ["broken"]:
            raise RuntimeError("broken")

    predict = inference


@pytest.mark.parametrize(
    ("module", "variables", "kind", "worker_type"),
    [
        ("detector", {"JOB_NAME": "x", "WORKER_NAME": "abcde"}, "videoanalyticsjob", "videoanalytics"),
        ("detector", {"SERVICE_NAME": "x", "WORKER_NAME": "trackingworker-abcde"}, "objectsearchservice", "tracking"),
        ("detector", {"JOB_NAME": "", "WORKER_NAME": ""}, "objecttrackingservice", "tracking"),
        ("feature_extraction", {"SERVICE_NAME": "x", "WORKER_NAME": "abcde"}, "featureextractionservice", "fe"),
        ("reid", {"JOB_NAME": "x", "WORKER_NAME": "abcde"}, "reidjob", "reid"),
        ("reid", {"JOB_NAME": "", "WORKER_NAME": ""}, "objectsearchservice", "reid"),
    ],
)
def test_calls_items_and_identity(sedna, start, module, variables, kind, worker_type):
    worker = start(variables)
    with sedna_metrics.observe_sedna(worker):
        component = getattr(sedna(f"core.multi_edge_inference.components.{module}"), COMPONENTS[module])([Model()])
        assert values(worker, "sedna_inferences_total") == {}, "no series before the first call"
        component.distribute_data(["a", "b", "c"])
        with pytest.raises(RuntimeError, match="broken"):
            component.distribute_data(["broken"])
    assert value(worker, "sedna_inferences_total", location="edge") == 1
    assert value(worker, "sedna_inference_errors_total", location="edge") == 1
    assert value(worker, "sedna_inference_samples_total") == 4
    assert (worker.identity.kind, worker.identity.worker_type) == (kind, worker_type)
