"""Federated learning, training worker: softmax regression on this node's own digits, FedAvg with the others."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import requests

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from digits import digits, pace
from truth import Truth

ROUNDS = int(os.environ.get("EXIT_ROUND", "5"))
EPOCHS = 4
aggregator = f"http://{os.environ.get('AGG_IP', '127.0.0.1')}:{os.environ.get('AGG_PORT', '7363')}"
start, stop = (int(bound) for bound in os.environ.get("DATASET_SLICE", "0:600").split(":"))


def send(update: dict) -> dict:
    """The aggregator's answer; nodes may be up before it is."""
    for _ in range(100):
        try:
            return requests.post(aggregator, json=update, timeout=600).json()
        except requests.ConnectionError:
            time.sleep(0.1)
    raise SystemExit("there is no aggregator")


def main() -> None:
    truth = Truth()
    images = digits(start, stop)
    inputs = np.hstack([images.pixels, np.ones((len(images.labels), 1))])
    wanted = np.eye(10)[images.labels]
    with sedna_metrics.start() as worker:
        fl = worker.federated_learning
        fl.train_nodes(int(os.environ.get("PARTICIPANTS_COUNT", "3")))
        weights = np.zeros((65, 10))
        with fl.training(samples=len(inputs), epochs=ROUNDS * EPOCHS) as training:
            for number in range(1, ROUNDS + 1):
                fl.iteration(number)
                for _ in range(EPOCHS):
                    with training.epoch():
                        for batch in training.steps(np.array_split(np.arange(len(inputs)), 10)):
                            scores = inputs[batch] @ weights
                            likely = np.exp(scores - scores.max(axis=1, keepdims=True))
                            likely /= likely.sum(axis=1, keepdims=True)
                            weights = weights - 0.5 * inputs[batch].T @ (likely - wanted[batch]) / len(batch)
                            pace(0.1 * len(inputs) / 800 / EPOCHS / ROUNDS)
                        loss = float(-np.log(likely[np.arange(len(batch)), images.labels[batch]] + 1e-12).mean())
                        training.loss(loss)
                update = {
                    "client": worker.identity.worker,
                    "round": number,
                    "samples": len(inputs),
                    "weights": weights.tolist(),
                }
                with fl.waiting():
                    weights = np.array(send(update)["weights"])
        truth.expect("TrainStatus", "sedna_train_status", 1, status="completed")
        truth.expect("IterationNo", "sedna_iteration", ROUNDS)
        truth.expect("TrainSampleNum", "sedna_training_samples", len(inputs))
        truth.expect("TrainLoss", "sedna_training_loss", loss)
        truth.expect("NodeSampleNum", "sedna_node_samples", len(inputs), client=worker.identity.worker)
        truth.expect("", "sedna_training_epoch", ROUNDS * EPOCHS)
    test = digits(1500)
    right = (np.hstack([test.pixels, np.ones((len(test.labels), 1))]) @ weights).argmax(axis=1) == test.labels
    print(f"{worker.identity.node}: the common model has {right.mean():.1%} of unseen digits right")
    truth.publish()


if __name__ == "__main__":
    main()
