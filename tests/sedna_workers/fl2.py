"""Version 2 of federated learning as its author writes it: argv says which of the two workers this is."""

import sys

from sedna.algorithms.aggregation import FedAvgV2
from sedna.algorithms.client_choose import SimpleClientChoose
from sedna.core.federated_learning import FederatedLearningV2
from sedna.service.server import AggregationServerV2


class Dataset:
    customized = True
    trainset = testset = range(11)


class Estimator:
    model, pretrained, saved = "model", None, None
    hyperparameters = {"rounds": 2}  # noqa: RUF012


options = {"estimator": Estimator(), "aggregation": FedAvgV2()}
if sys.argv[1] == "train":
    options["transmitter"] = FederatedLearningV2.get_transmitter_from_config()
    FederatedLearningV2(data=Dataset(), **options).train()
else:
    AggregationServerV2(chooser=SimpleClientChoose(per_round=2), **options).start()
raise RuntimeError("Plato does not come back")
