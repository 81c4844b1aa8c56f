"""A federated learning train worker as its author writes it, with a Keras-like estimator."""

import json
import os

import numpy as np
from sedna.core.federated_learning import FederatedLearning
from sedna.datasources import BaseDataSource


class Estimator:
    rounds = 0

    def __init__(self):
        self.weights = [np.zeros(3), np.zeros((2, 2))]

    def train(self, train_data, valid_data=None, epochs=1):
        Estimator.rounds += 1
        self.weights = [weight + len(train_data) for weight in self.weights]
        return {"loss": [9.0, 1.0 / Estimator.rounds], "val_loss": [5.0]}

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights

    def load_weights(self, path):
        pass

    def save(self, path):
        with open(path, "w") as file:
            file.write("weights")


data = BaseDataSource(data_type="train")
data.x = np.zeros(int(os.environ["SAMPLES"]))
data.y = np.zeros(int(os.environ["SAMPLES"]))
job = FederatedLearning(estimator=Estimator())
job.train(train_data=data, epochs=2)
with open(os.environ["TRUTH"], "w") as file:
    json.dump({"rounds": Estimator.rounds, "loss": 1.0 / Estimator.rounds}, file)
