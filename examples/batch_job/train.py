"""A job that ends before anybody scrapes it: it pushes, and keeps on disk what does not arrive."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from digits import digits

EPOCHS = 5
CLASSES = np.arange(10)

with sedna_metrics.start() as worker, worker.federated_learning.training(epochs=EPOCHS) as training:
    data = digits(0, 600)
    training.samples(len(data.labels))
    model = SGDClassifier(loss="log_loss", random_state=0)
    for epoch in training.epochs():
        order = np.random.default_rng(epoch).permutation(len(data.labels))
        for batch in training.steps(np.array_split(order, 10)):
            model.partial_fit(data.pixels[batch], data.labels[batch], CLASSES)
        training.loss(log_loss(data.labels, model.predict_proba(data.pixels), labels=CLASSES))
    training.output_model("/model/digits")
