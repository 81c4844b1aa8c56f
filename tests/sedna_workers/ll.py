"""Lifelong learning as its author writes it: argv says which of the three workers this is."""

import json
import os
import sys
import time

import joblib
import numpy as np
from sedna.algorithms.seen_task_learning.artifact import Task
from sedna.common.class_factory import ClassFactory, ClassType
from sedna.core.lifelong_learning import LifelongLearning
from sedna.datasources import BaseDataSource


def source(x, y=None, kind="train"):
    data = BaseDataSource(data_type=kind)
    data.x = np.array(x, dtype=float).reshape(-1, 1)
    data.y = None if y is None else np.array(y)
    return data


@ClassFactory.register(ClassType.STP)
class BySign:
    def __init__(self, **kwargs):
        pass

    def __call__(self, samples, **kwargs):
        tasks = []
        for entry, mask in (("plus", samples.x[:, 0] >= 0), ("minus", samples.x[:, 0] < 0)):
            tasks.append(Task(entry=entry, samples=source(samples.x[mask], samples.y[mask]), meta_attr=entry))
        return tasks, {"plus": 0, "minus": 1}, samples


@ClassFactory.register(ClassType.STP)
class AllocateBySign:
    def __init__(self, task_extractor, **kwargs):
        pass

    def __call__(self, samples):
        return samples, [0 if x[0] >= 0 else 1 for x in samples.x]


@ClassFactory.register(ClassType.UTD)
class Above100:
    def __init__(self, task_index, **kwargs):
        pass

    def __call__(self, samples, **kwargs):
        unseen = samples.x[:, 0] > 100
        return source(samples.x[~unseen], kind="test"), source(samples.x[unseen], kind="test")


class Estimator:
    def train(self, train_data, valid_data=None, **kwargs):
        return {"loss": 0.5 if train_data.x[0][0] >= 0 else 0.25}

    def predict(self, data, **kwargs):
        return np.array([int(x[0] >= 0) for x in data])

    def save(self, path):
        joblib.dump("model", path)

    def load(self, model_url=None):
        return self


class Unseen:
    def predict(self, data, **kwargs):
        return [9]


job = LifelongLearning(
    Estimator,
    unseen_estimator=Unseen(),
    task_definition={"method": "BySign"},
    task_allocation={"method": "AllocateBySign"},
    unseen_sample_recognition={"method": "Above100"},
)
truth = {}
what = sys.argv[1]
if what == "train":
    job.train(source(range(-12, 18), [int(x >= 0) for x in range(-12, 18)]))
    truth.update(samples=30, known=2, loss=0.375)
elif what == "eval":
    labels = [int(x >= 0) for x in range(-5, 5)]
    labels[0] = 1
    job.evaluate(source(range(-5, 5), labels, "valid"), metrics="accuracy_score")
    truth.update(samples=10, score=0.9)
else:
    truth.update(inferences=0, samples=0, unseen=0)

    def infer(*batches):
        for values in batches:
            job.inference(source(values, kind="test"), unseen_sample_postprocess=lambda sample, folder: None)
            truth["inferences"] += 1
            truth["samples"] += len(values)
            truth["unseen"] += sum(value > 100 for value in values)

    infer([1], [-3, 7], [101, 102, 101], [500])
    if "MORE" in os.environ:
        with open(os.environ["MORE"], "w"):
            pass
        knowledge = job.edge_knowledge_management
        while knowledge.lastest_index_version == knowledge.current_index_version:
            time.sleep(0.1)
        infer([2])
with open(os.environ["TRUTH"] + ".new", "w") as file:
    json.dump(truth, file)
os.replace(os.environ["TRUTH"] + ".new", os.environ["TRUTH"])
# Sedna's threads keep an inference worker alive from here on.
