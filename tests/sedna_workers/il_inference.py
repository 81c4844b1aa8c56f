"""An incremental learning inference worker with hot updates, as its author writes it."""

import json
import os
import sys
import threading
import time

import numpy as np
from sedna.core.base import ModelLoadingThread
from sedna.core.incremental_learning import IncrementalLearning


class Estimator:
    loaded = []  # noqa: RUF012

    def load(self, model_url=None):
        with open(model_url) as file:
            text = file.read()
        Estimator.loaded.append(text)
        if text == "broken":
            raise ValueError("no model")

    def predict(self, data, **kwargs):
        if data[0] < 0:
            raise ValueError("a broken frame")
        return [[0, 0, 1, 1, float(data[0]), 0]]


def update(version, content):
    """What the Local Controller does when the Global Manager has a new model."""
    path = os.path.join(os.environ["WORK"], f"model-{version}.pb")
    with open(path, "w") as file:
        file.write(content)
    config = os.environ["MODEL_HOT_UPDATE_CONFIG"]
    with open(config + ".new", "w") as file:
        json.dump({"model_config": {"model_path": path, "model_update_time": version}}, file)
    os.replace(config + ".new", config)
    while content not in Estimator.loaded:
        time.sleep(0.05)
    with ModelLoadingThread.MODEL_MANIPULATION_SEM:
        pass  # the update is done


def infer(*values):
    for value in values:
        try:
            _, _, is_hard = job.inference(np.array([value]), post_process=lambda x: x)
        except ValueError:
            truth["errors"] += 1
        else:
            truth["inferences"] += 1
            truth["hard"] += bool(is_hard)
            truth["iteration_inferences"] += 1
            truth["iteration_hard"] += bool(is_hard)


truth = dict.fromkeys(("inferences", "errors", "hard", "iteration_inferences", "iteration_hard", "iteration"), 0)
job = IncrementalLearning(estimator=Estimator)
infer(0.1, 0.9, -1.0, 0.2)
for version, content in enumerate(json.loads(sys.argv[1])):
    update(str(version + 1), content)
    if content != "broken":
        truth.update(iteration_inferences=0, iteration_hard=0, iteration=truth["iteration"] + 1)
    infer(0.3, 0.95)
with open(os.environ["TRUTH"] + ".new", "w") as file:
    json.dump(truth, file)
os.replace(os.environ["TRUTH"] + ".new", os.environ["TRUTH"])
threading.Event().wait()  # for the next sample
