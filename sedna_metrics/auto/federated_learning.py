"""Federated learning: ``FederatedLearning`` in the train workers, ``AggregationServer`` in the aggregator.

Source: lib/sedna/core/federated_learning/federated_learning.py, ``AggregationClient`` of lib/sedna/service/client.py,
lib/sedna/service/server/aggregation.py. Version 2 leaves rounds, losses and clients to Plato; only its start, end and
samples are observed.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Dict, List, Mapping, NoReturn, Optional

from sedna_metrics._compat import cached_property
from sedna_metrics._worker import Worker
from sedna_metrics.auto._hooks import Hook, Observer, Steps, sample_count
from sedna_metrics.auto._reports import Reports
from sedna_metrics.tasks._training import Training
from sedna_metrics.tasks.federated_learning import Aggregation, FederatedLearning

_LOGGER = logging.getLogger("sedna_metrics")
_KIND = "federatedlearningjob"
_CLIENT = "sedna.service.client"
_TRAIN = "sedna.core.federated_learning.federated_learning"
_SERVER = "sedna.service.server.aggregation"


def hooks(worker: Worker, reports: Reports) -> List[Hook]:
    node, aggregator = _TrainWorker(worker, reports), _AggregationWorker(worker)
    train, train_v2 = reports.around(node.begin), reports.around(node.begin_v2)
    return [
        Hook(_TRAIN, "FederatedLearningV2", "train", (), _until_plato_exits(worker, train_v2)),
        Hook(_SERVER, "AggregationServerV2", "start", (), _until_plato_exits(worker, aggregator.serve_v2)),
        Hook(_TRAIN, "FederatedLearning", "train", ("train_data", "valid_data", "post_process"), train),
        Hook(_CLIENT, "AggregationClient", "send", ("data", "msg_type"), node.send),
        Hook(_CLIENT, "AggregationClient", "recv", ("wait_data_type",), node.receive),
        Hook(_SERVER, "AggregationServer", "start", (), aggregator.serve),
        Hook(_SERVER, "WSServerBase", "add_client", ("client_id", "websocket"), aggregator.clients),
        Hook(_SERVER, "WSServerBase", "remove_client", ("client_id",), aggregator.clients),
        Hook(_SERVER, "Aggregator", "send_message", ("client_id", "msg"), aggregator.message, asynchronous=True),
    ]


def _until_plato_exits(worker: Worker, observe: Observer) -> Observer:
    """Version 2: Plato ends its processes by ``os._exit``, which runs no ``atexit``, so the worker ends before."""

    def observe_v2(job: Any, *arguments: Any, **keywords: Any) -> Steps:
        message = "%s: Plato's rounds, losses and clients are not observed; docs/run.md says how to record them"
        _LOGGER.warning(message, type(job).__name__)
        leave, process = os._exit, os.getpid()

        def end(status: int) -> NoReturn:
            if os.getpid() == process:  # and not a child of Plato's, which trains in some
                with worker.guard:
                    worker._has_failed = worker._has_failed or status != 0
                    if status == 0:
                        worker.success()
                    worker.close()
            leave(status)

        os._exit = end
        try:
            yield from observe(job, *arguments, **keywords)
        finally:
            os._exit = leave

    return observe_v2


class _TrainWorker:
    def __init__(self, worker: Worker, reports: Reports) -> None:
        self._worker = worker
        self._runs = reports.runs
        self._round = 0

    @cached_property
    def _task(self) -> FederatedLearning:
        self._worker.update_identity(_KIND, "train")
        return self._worker.federated_learning

    def begin(self, _: Any, train_data: Any = None, *__: Any, **___: Any) -> Training:
        """All rounds of a train worker; the report of each round has loss and model URL."""
        self._round = 1
        self._task.iteration(self._round)
        return self._task.training(sample_count(train_data))

    def begin_v2(self, job: Any) -> Training:
        """All rounds of a train worker of version 2, on a dataset of its own or of Plato."""
        return self._task.training(sample_count(getattr(job.datasource, "trainset", None)))

    def send(self, _: Any, data: Any, msg_type: Any = None, *__: Any, **___: Any) -> Steps:
        """The update of a round, with its number of samples."""
        if msg_type == "update_weight" and isinstance(data, Mapping):
            if not self._runs:
                self._task.node_samples(data["num_samples"])
            for training in self._runs.values():
                training.samples(data["num_samples"])
        yield

    def receive(self, *_: Any, **__: Any) -> Steps:
        """Waiting for the aggregate; ``None`` is returned for other messages."""
        if not self._runs:
            yield
            return
        with self._task.waiting():
            received = yield
        if isinstance(received, Mapping) and received.get("type") == "recv_weight":
            aggregate = received.get("data") or {}
            self._task.aggregate_received(int(aggregate["round_number"]))
            if aggregate.get("exit_flag") != "ok":
                self._round += 1
                self._task.iteration(self._round)


class _AggregationWorker:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._rounds: Dict[int, Aggregation] = {}
        self._completed = False

    @cached_property
    def _task(self) -> FederatedLearning:
        self._worker.update_identity(_KIND, "aggregation")
        return self._worker.federated_learning

    def serve_v2(self, *_: Any, **__: Any) -> Steps:
        self._task.status("running")
        yield

    def serve(self, *_: Any, **__: Any) -> Steps:
        """The server runs. It returns after the last round, or if its port is taken, which is a failure."""
        self._completed = False
        self._task.status("running")
        self._task.train_nodes([])
        try:
            yield
        finally:
            if not self._completed:
                self._task.status("failed")

    def clients(self, aggregator: Any, *_: Any, **__: Any) -> Steps:
        yield
        self._task.train_nodes(list(aggregator.client_list))

    def message(self, aggregator: Any, client: Any, message: Any, *_: Any, **__: Any) -> Steps:
        """A message of a node: an update, perhaps the last of its round.

        The aggregate is sent within this call. While it waits for one node, another node's update for the next round
        may come.
        """
        number = self._update(aggregator, client, message)
        try:
            yield
        except BaseException as error:
            self._updated(aggregator, number, error)
            raise
        self._updated(aggregator, number, None)

    def _update(self, aggregator: Any, client: Any, message: Any) -> int:
        """Returns the number of the update's round, or 0 for another message."""
        if not isinstance(message, dict) or message.get("type") != "update_weight" or not message.get("data"):
            return 0
        number, samples = int(aggregator.current_round) + 1, int(message["data"]["num_samples"])
        if number not in self._rounds:
            self._rounds[number] = self._task.aggregation(number)
            self._rounds[number].begin()
        self._rounds[number].update(str(client), samples)
        return number

    def _updated(self, aggregator: Any, number: int, error: Optional[BaseException]) -> None:
        # The round's number is taken before the aggregation begins, whether or not that ends well.
        if number in self._rounds and aggregator.current_round >= number:
            self._rounds.pop(number).end(error)
            if error is None and aggregator.exit_check():
                self._completed = True
                self._task.status("completed")
