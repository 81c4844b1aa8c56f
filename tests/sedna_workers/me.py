"""Multi-edge inference as its author writes it: argv says which of the three workers this is. Kafka is in memory."""

import json
import os
import sys
import threading

import numpy as np
from sedna.core.multi_edge_inference.data_classes import DetTrackResult
from sedna.core.multi_edge_inference.plugins import PluggableModel

truth = {"inferences": 0, "errors": 0, "samples": 0}


def note(data, broken):
    truth["samples"] += len(data)
    truth["errors" if broken else "inferences"] += 1
    with open(os.environ["TRUTH"] + ".new", "w") as file:
        json.dump(truth, file)
    os.replace(os.environ["TRUTH"] + ".new", os.environ["TRUTH"])


class Model(PluggableModel):
    device = "cpu"

    def load(self, **kwargs):
        pass

    def update_plugin(self, update_object, **kwargs):
        pass

    def evaluate(self, **kwargs):
        pass

    def predict(self, data, **kwargs):
        broken = any(isinstance(item, tuple) and item[2] == 3 for item in data)
        note(data, broken)
        if broken:
            raise ValueError("a broken frame")
        return [DetTrackResult(number) for number, _ in enumerate(data)]

    def get_target_features(self, ldata):
        return ["features"]


class Matcher:
    """What compares features has no model."""

    target = None

    def update_plugin(self, update_object):
        return ["image"]

    def update_target(self, target):
        Matcher.target = target

    def predict(self, data, **kwargs):
        note(data, broken=False)
        return []


def detect():
    from sedna.core.multi_edge_inference.components.detector import ObjectDetector

    service = ObjectDetector(models=[Model()], asynchronous=True)
    random = np.random.default_rng(0)
    for number in range(6):
        frame = random.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        service.put((frame, "now", number))
    while truth["samples"] < 6 or service.sync_queue:
        threading.Event().wait(0.05)
    threading.Event().wait(0.5)  # the last result is on its way


def extract_features():
    import kafka
    from sedna.core.multi_edge_inference.components.feature_extraction import FEService

    FEService(models=[Model()], asynchronous=True)
    kafka.topics["object_detection"].append([DetTrackResult()])
    threading.Event().wait()


def match():
    from sedna.core.multi_edge_inference.components.reid import ReID

    service = ReID(models=[Matcher()], asynchronous=True)
    assert Matcher.target == ["features"]
    for number in (3, 1):
        service.put([DetTrackResult() for _ in range(number)])
    while truth["samples"] < 4:
        threading.Event().wait(0.05)
    threading.Event().wait()


{"videoanalytics": detect, "fe": extract_features, "reid": match}[sys.argv[1]]()
