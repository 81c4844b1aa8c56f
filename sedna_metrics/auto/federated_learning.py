"""Federated learning: ``FederatedLearning`` in the train workers, ``AggregationServer`` in the aggregator.

Source: lib/sedna/core/federated_learning/federated_learning.py, ``AggregationClient`` of lib/sedna/service/client.py,
and lib/sedna/service/server/aggregation.py. Version 2 leaves rounds, clients and losses to Plato, whose classes are not
observed: of it there are the status, and the samples where the dataset tells them.
"""

from __future__ import annotations

import logging
from typing import Any, ContextManager, Dict, List, Mapping, Optional

from sedna_metrics._compat import cached_property
from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Function, Hook, argument, length, samples_of
from sedna_metrics.auto._reports import Reports
from sedna_metrics.tasks import FederatedLearning
from sedna_metrics.tasks._training import Training
from sedna_metrics.tasks.federated_learning import Aggregation

_KIND = "federatedlearningjob"
_PLATO = (
    "version 2 of federated learning runs in Plato: its rounds, clients and losses are not observed. "
    "docs/run.md says how to add them by hand"
)
_LOGGER = logging.getLogger("sedna_metrics")
_CLIENT = "sedna.service.client"
_TRAIN = "sedna.core.federated_learning.federated_learning"
_SERVER = "sedna.service.server.aggregation"


def hooks(worker: Worker, reports: Reports) -> List[Hook]:
    """What is observed of federated learning."""
    node, aggregator = _TrainWorker(worker, reports), _AggregationWorker(worker)
    return [
        Hook(_TRAIN, "FederatedLearning", "train", ("train_data", "valid_data", "post_process"), node.train),
        Hook(_CLIENT, "AggregationClient", "send", ("data", "msg_type"), node.send),
        Hook(_CLIENT, "AggregationClient", "recv", ("wait_data_type",), node.receive),
        Hook(_TRAIN, "FederatedLearningV2", "train", (), node.train_by_plato),
        Hook(_SERVER, "AggregationServer", "start", (), aggregator.serve),
        Hook(_SERVER, "AggregationServerV2", "start", (), aggregator.serve_by_plato),
        Hook(_SERVER, "WSServerBase", "add_client", ("client_id", "websocket"), aggregator.change_of_clients),
        Hook(_SERVER, "WSServerBase", "remove_client", ("client_id",), aggregator.change_of_clients),
        Hook(_SERVER, "Aggregator", "send_message", ("client_id", "msg"), aggregator.message, asynchronous=True),
    ]


class _TrainWorker:
    def __init__(self, worker: Worker, reports: Reports) -> None:
        self._worker = worker
        self._boundary = worker.guard
        self._trainings = reports.trainings
        self._round = 0

    @cached_property
    def _task(self) -> FederatedLearning:
        self._worker.update_identity(_KIND, "train")
        return self._worker.federated_learning

    def train(self, original: Function) -> Function:
        """All rounds of a train worker. Loss and model URL come with the report of each round."""

        def wrapper(job: Any, *arguments: Any, **keywords: Any) -> Any:
            with self._trainings.run(job, lambda: self._begin(samples_of("train_data", arguments, keywords))):
                return original(job, *arguments, **keywords)

        return wrapper

    def train_by_plato(self, original: Function) -> Function:
        """Version 2: all rounds, of which Plato's classes know more."""

        def wrapper(job: Any, *arguments: Any, **keywords: Any) -> Any:
            _LOGGER.warning("%s: %s", type(job).__name__, _PLATO)
            datasource = getattr(job, "datasource", None)
            samples = length(getattr(datasource, "trainset", None))
            with self._trainings.run(job, lambda: self._begin(samples)):
                return original(job, *arguments, **keywords)

        return wrapper

    def send(self, original: Function) -> Function:
        """A round's update: the samples that it rests on."""

        def wrapper(client: Any, *arguments: Any, **keywords: Any) -> Any:
            with self._boundary:
                data = argument(0, "data", arguments, keywords)
                if argument(1, "msg_type", arguments, keywords) == "update_weight" and isinstance(data, Mapping):
                    self._task.node_samples(data["num_samples"])
                    for training in self._trainings.values():
                        training.samples(data["num_samples"])
            return original(client, *arguments, **keywords)

        return wrapper

    def receive(self, original: Function) -> Function:
        """Waiting for the aggregate. What is no aggregate (somebody joined) comes back as ``None``."""

        def wrapper(client: Any, *arguments: Any, **keywords: Any) -> Any:
            if not self._trainings:
                return original(client, *arguments, **keywords)
            with self._task.waiting():
                received = original(client, *arguments, **keywords)
            with self._boundary:
                if isinstance(received, Mapping) and received.get("type") == "recv_weight":
                    self._received(received.get("data") or {})
            return received

        return wrapper

    def _begin(self, samples: Optional[int]) -> Training:
        self._round = 1
        self._task.iteration(self._round)
        return self._task.training(samples)

    def _received(self, aggregate: Mapping[str, Any]) -> None:
        self._task.aggregate_received(int(aggregate["round_number"]))
        if aggregate.get("exit_flag") != "ok":
            self._round += 1
            self._task.iteration(self._round)


class _Round:
    """An aggregation under way: from the first update on."""

    def __init__(self, number: int, block: ContextManager[Aggregation]) -> None:
        self.number = number
        self.block = block
        self.aggregation = block.__enter__()
        self.messages: List[Dict[str, Any]] = []

    @property
    def is_sent(self) -> bool:
        # Aggregator.send_message makes the aggregate of the message that completed the round.
        return any(message.get("type") == "recv_weight" for message in self.messages)


class _AggregationWorker:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._boundary = worker.guard
        self._rounds: Dict[int, _Round] = {}
        self._completed = False

    @cached_property
    def _task(self) -> FederatedLearning:
        self._worker.update_identity(_KIND, "aggregation")
        return self._worker.federated_learning

    def serve(self, original: Function) -> Function:
        """The server's life. It returns after the last round, but also where its port is taken: that is a failure."""

        def wrapper(server: Any, *arguments: Any, **keywords: Any) -> Any:
            with self._boundary:
                self._completed = False
                self._task.status("running")
                self._task.train_nodes([])
            try:
                return original(server, *arguments, **keywords)
            finally:
                if not self._completed:
                    with self._boundary:
                        self._task.status("failed")

        return wrapper

    def serve_by_plato(self, original: Function) -> Function:
        """Version 2: the server's life."""

        def wrapper(server: Any, *arguments: Any, **keywords: Any) -> Any:
            _LOGGER.warning("%s: %s", type(server).__name__, _PLATO)
            status = "failed"
            with self._boundary:
                self._task.status("running")
            try:
                result = original(server, *arguments, **keywords)
                status = "completed"
                return result
            finally:
                with self._boundary:
                    self._task.status(status)

        return wrapper

    def change_of_clients(self, original: Function) -> Function:
        """A node came or went."""

        def wrapper(aggregator: Any, *arguments: Any, **keywords: Any) -> Any:
            result = original(aggregator, *arguments, **keywords)
            with self._boundary:
                self._task.train_nodes(list(aggregator.client_list))
            return result

        return wrapper

    def message(self, original: Function) -> Function:
        """A message of a node: an update, perhaps the one that completes the round.

        The aggregate is sent within this call, and while it waits for one node the next round's first update of another
        may come.
        """

        async def wrapper(aggregator: Any, *arguments: Any, **keywords: Any) -> Any:
            round_: Optional[_Round] = None
            with self._boundary:
                round_ = self._update(
                    aggregator, argument(0, "client_id", arguments, keywords), argument(1, "msg", arguments, keywords)
                )
            try:
                result = await original(aggregator, *arguments, **keywords)
            except BaseException as error:
                with self._boundary:
                    self._failed(aggregator, round_, error)
                raise
            with self._boundary:
                self._sent(aggregator, round_, argument(1, "msg", arguments, keywords))
            return result

        return wrapper

    def _update(self, aggregator: Any, client: Any, message: Any) -> Optional[_Round]:
        if not isinstance(message, dict) or message.get("type") != "update_weight" or not message.get("data"):
            return None
        samples = int(message["data"]["num_samples"])
        round_ = self._rounds.get(id(aggregator))
        if round_ is None or round_.is_sent:
            number = int(aggregator.current_round) + 1
            round_ = self._rounds[id(aggregator)] = _Round(number, self._task.aggregation(number))
        round_.messages.append(message)
        round_.aggregation.update(str(client), samples)
        return round_

    def _sent(self, aggregator: Any, round_: Optional[_Round], message: Dict[str, Any]) -> None:
        if round_ is None or message.get("type") != "recv_weight":
            return
        self._close(aggregator, round_, None)
        if aggregator.exit_check():
            self._completed = True
            self._task.status("completed")

    def _failed(self, aggregator: Any, round_: Optional[_Round], error: BaseException) -> None:
        # The round's number is taken before the aggregation begins, whether or not that ends well.
        if round_ is not None and aggregator.current_round >= round_.number:
            self._close(aggregator, round_, error)

    def _close(self, aggregator: Any, round_: _Round, error: Optional[BaseException]) -> None:
        if self._rounds.get(id(aggregator)) is round_:
            del self._rounds[id(aggregator)]
        round_.block.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
