"""A joint inference edge worker as its author writes it: nothing of sedna_metrics in it."""

import json
import os
import sys
import threading

import numpy as np
from sedna.common.class_factory import ClassFactory, ClassType
from sedna.core.joint_inference import JointInference
from tenacity import RetryError


class Estimator:
    calls = 0

    def load(self, model_url=None):
        pass

    def predict(self, data, **kwargs):
        Estimator.calls += 1
        if data[0] < 0:
            raise ValueError("a broken frame")
        if options.get("probabilities"):
            return [float(data[0]), 1 - float(data[0])]
        return [[0, 0, 1, 1, float(data[0]), 0]]


@ClassFactory.register(ClassType.HEM)
class ByFirstValue:
    """Says numpy.bool, and takes a sample as well as a result."""

    def __init__(self, **kwargs):
        pass

    def __call__(self, x):
        value = x[0][4] if isinstance(x[0], list) else x[0]
        return np.bool_(0 <= value < 0.5)


options = json.loads(sys.argv[1])
method = options.get("method")
job = JointInference(estimator=Estimator, hard_example_mining={"method": method} if method else None)
mining_first = os.environ.get("MINING_MODE") == "mining-then-inference"
truth = {"samples": 0, "edge": 0, "cloud": 0, "edge_errors": 0, "cloud_errors": 0, "hard": 0}
lock = threading.Lock()


def infer(value):
    with lock:
        truth["samples"] += 1
    try:
        # Mining first, Sedna sends the sample as it is, as JSON; inferring first, its tolist().
        is_hard, _, edge, cloud = job.inference([value] if mining_first else np.array([value]))
    except ValueError:
        with lock:
            truth["edge_errors"] += 1
        return
    except RetryError:
        with lock:
            truth["hard"] += 1
            truth["cloud_errors"] += 1
        return
    with lock:
        truth["hard"] += bool(is_hard)
        truth["edge"] += edge is not None
        truth["cloud"] += cloud is not None
        truth["cloud_errors"] += bool(is_hard) and cloud is None


def work(values):
    for value in values:
        infer(value)


threads = [threading.Thread(target=work, args=(options["values"],)) for _ in range(options.get("threads", 1))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open(os.environ["TRUTH"] + ".new", "w") as file:
    json.dump(truth, file)
os.replace(os.environ["TRUTH"] + ".new", os.environ["TRUTH"])
threading.Event().wait()  # for the next sample
