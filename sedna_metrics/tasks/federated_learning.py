"""Federated learning: nodes train, one worker aggregates."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterable, Iterator, List, Optional, Union

from sedna_metrics._boundary import contained
from sedna_metrics._noop import Noop
from sedna_metrics.catalogue import federated
from sedna_metrics.errors import describe
from sedna_metrics.tasks._context import Task, TaskContext
from sedna_metrics.tasks._runs import Run
from sedna_metrics.tasks._time_left import NOT_WHOLE, checked_number, whole_number
from sedna_metrics.tasks._training import Training


class FederatedLearning(Task):
    """``worker.federated_learning``, for train and aggregation workers of a FederatedLearningJob."""

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        instruments = context.instruments
        self._status = instruments.state(federated.TRAIN_STATUS)
        self._nodes = instruments.gauge(federated.TRAIN_NODES)
        self._node_info = instruments.info(federated.TRAIN_NODE)
        self._has_nodes = False
        self._is_ended = False  # end() has set the status, and a second call may change it
        self._round = instruments.gauge(federated.AGGREGATION_ROUND)

    @contained(Noop)
    def training(self, samples: Optional[int] = None, epochs: Optional[int] = None) -> Training:
        """A training worker's whole work in all rounds, as a context manager.

        TrainStatus is running (waiting within :meth:`waiting`), then completed, or failed if the body raised.
        ``samples`` are this worker's (TrainSampleNum, NodeSampleNum); ``epochs`` are those of all rounds.
        """
        return Training(self._context, self._set_status, samples, epochs, self.node_samples)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A context manager around waiting for the aggregate: TrainStatus is waiting, then running again."""
        with self._boundary:
            self._set_status("waiting")
            self._context.emit("training.waiting")
        try:
            yield
        finally:
            with self._boundary:
                self._set_status("running")

    @contained()
    def iteration(self, number: int) -> None:
        """Begin local round ``number`` (IterationNo)."""
        self._begin_iteration(number)

    @contained()
    def aggregate_received(self, number: int) -> None:
        """A training worker has received the aggregate of round ``number`` (AggregationNo)."""
        self._round.set(number)
        self._context.emit("aggregate.received", round=self._round.value())

    @contained()
    def status(self, status: str) -> None:
        """Set TrainStatus directly, if no context manager fits: waiting, running, completed or failed."""
        self._set_status(status)

    @contained()
    def train_nodes(self, nodes: Union[int, Iterable[str]]) -> None:
        """Set which nodes take part now (TrainNodes): the clients' ids, or only their number."""
        self._has_nodes = self._set_nodes(nodes) or self._has_nodes

    @contained()
    def node_samples(self, samples: int, client: Optional[str] = None) -> None:
        """Set the number of samples (NodeSampleNum) of a client: a WORKER_NAME, by default this worker's own."""
        name = self._context.identity.worker if client is None else str(client)
        self._context.instruments.gauge(federated.NODE_SAMPLES, None, client=name).set(samples)

    @contained(Noop)
    def aggregation(self, number: Optional[int] = None) -> Aggregation:
        """The aggregator's round, as a context manager: from waiting for updates to the aggregate sent.

        A round that ends well counts (AggregationNo); its duration runs from the first :meth:`Aggregation.update`. Its
        number is by default one more than the last. If :meth:`train_nodes` is never called, TrainNodes are the clients
        whose updates came.
        """
        given = checked_number(number, federated.AGGREGATION_ROUND.name, self._boundary)
        return Aggregation(self, int(self._round.value() or 0) + 1 if given is None else given)

    @contained()
    def end(self, status: str) -> None:
        """The worker ends: TrainStatus, if it is not finished, is ``completed`` or ``failed``."""
        current = self._status.current
        has_failed_early = current is None and status == "failed" and self._context.identity.worker_type == "train"
        if has_failed_early or current in ("waiting", "running") or self._is_ended:
            self._set_status(status)
            self._is_ended = True

    def _set_status(self, status: str) -> None:
        self._is_ended = False
        self._status.set(status)
        self._context.on_change()

    def _set_nodes(self, nodes: Any) -> bool:
        """Set the nodes, or only their number; returns whether they are valid."""
        before = self._nodes.value()
        if isinstance(nodes, (str, bytes)):
            nodes = [nodes if isinstance(nodes, str) else nodes.decode("utf-8", "replace")]
        try:
            names = sorted({str(node) for node in nodes})
            count: Optional[int] = len(names)
        except TypeError:
            names, count = [], whole_number(nodes)
        if count is None:
            self._boundary.reject(federated.TRAIN_NODES.name, nodes, NOT_WHOLE)
            return False
        self._nodes.set(count)
        self._node_info.set(*({"client": name} for name in names))
        if count != before:
            self._context.emit("nodes.changed", nodes=count)
        return True


class Aggregation(Run):
    """One round of aggregation; ``nodes`` are the ids of the clients whose updates came, in that order."""

    def __init__(self, task: FederatedLearning, number: int) -> None:
        super().__init__(task._context, lambda status: None)
        self._task = task
        self._number = number
        self.nodes: List[str] = []
        self._count = task._context.instruments.counter(federated.AGGREGATIONS)
        self._durations = task._context.instruments.call_histogram(federated.AGGREGATION_DURATION)

    @contained()
    def update(self, client: str, samples: Optional[int] = None) -> None:
        """The update of a client, by its id, has come; ``samples`` is what it was trained on (NodeSampleNum)."""
        if not self.nodes:
            self._began = self._context.clock.monotonic()
        if client not in self.nodes:
            self.nodes.append(client)
        if samples is not None:
            self._task.node_samples(samples, client)

    def _on_begin(self) -> None:
        self._context.emit.bind(iteration=self._number)
        self._context.emit("aggregation.started", round=self._number)

    def _on_end(self, error: Optional[BaseException]) -> None:
        if error is not None:
            fields = {"error": type(error).__name__, "reason": describe(error)}
            self._context.emit("aggregation.failed", round=self._number, **fields)
            return
        seconds = max(0.0, self._seconds())
        self._durations.observe(seconds)
        self._count.inc()
        self._task._round.set(self._number)
        if not self._task._has_nodes:
            self._task._set_nodes(self.nodes)
        self._context.emit("aggregation.completed", round=self._number, nodes=len(self.nodes), duration_seconds=seconds)
