"""Federated learning: nodes train on their own data, an aggregator makes one model of theirs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterable, Iterator, List, Optional, Tuple, Union

from sedna_metrics._boundary import ErrorBoundary
from sedna_metrics._clock import Clock
from sedna_metrics._compat import cached_property
from sedna_metrics._noop import Noop
from sedna_metrics.catalogue import federated
from sedna_metrics.metrics import CallHistogram, Counter
from sedna_metrics.tasks._context import TaskContext, reason
from sedna_metrics.tasks._iteration import Iteration
from sedna_metrics.tasks._training import Training, TrainingSeries, training_run


class FederatedLearning:
    """``worker.federated_learning``, for train and aggregation workers of a FederatedLearningJob."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        instruments = context.instruments
        self._status = instruments.state(federated.TRAIN_STATUS)
        self._iteration = Iteration(context)
        self._nodes = instruments.gauge(federated.TRAIN_NODES)
        self._node_info = instruments.info(federated.TRAIN_NODE)
        self._was_told_nodes = False
        self._round = instruments.gauge(federated.AGGREGATION_ROUND)

    @contextmanager
    def training(self, samples: Optional[int] = None, epochs: Optional[int] = None) -> Iterator[Training]:
        """A training worker's whole work, all rounds of it.

        TrainStatus is running while the body runs (waiting within :meth:`waiting`), then completed, or failed if it
        raised.

        Args:
            samples: number of this node's samples (TrainSampleNum, NodeSampleNum).
            epochs: number of epochs planned, over all rounds.
        """
        boundary = self._context.boundary
        with boundary:
            if samples is not None:
                self.node_samples(samples)
            self._status.set("running")
        try:
            with training_run(self._context, lambda: self._training, samples, epochs) as training:
                yield training
        except BaseException:
            with boundary:
                self._status.set("failed")
            raise
        with boundary:
            self._status.set("completed")

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around waiting for the aggregate: TrainStatus is waiting, and running again after it."""
        with self._context.boundary:
            self._status.set("waiting")
            self._context.emit("training.waiting")
        try:
            yield
        finally:
            with self._context.boundary:
                self._status.set("running")

    def iteration(self, number: int) -> None:
        """Begin local round ``number`` (IterationNo)."""
        with self._context.boundary:
            self._iteration.begin(number)

    def aggregate_received(self, number: int) -> None:
        """Say, on a training worker, that the aggregate of round ``number`` came (AggregationNo)."""
        with self._context.boundary:
            self._round.set(number)
            self._context.emit("aggregate.received", round=number)

    def status(self, status: str) -> None:
        """Say outright what training is at (TrainStatus), where no context manager above fits: on the aggregator.

        Args:
            status: waiting, running, completed or failed.
        """
        with self._context.boundary:
            self._status.set(status)

    def train_nodes(self, nodes: Union[int, Iterable[str]]) -> None:
        """Say which nodes take part now (TrainNodes).

        Args:
            nodes: their names, or only their number where the names are not known.
        """
        with self._context.boundary:
            self._was_told_nodes = True
            self._set_nodes(nodes)

    def _set_nodes(self, nodes: Union[int, Iterable[str]]) -> None:
        before = self._nodes.value()
        if isinstance(nodes, (str, bytes)):
            nodes = [nodes if isinstance(nodes, str) else nodes.decode("utf-8", "replace")]
        if isinstance(nodes, Iterable):
            names = sorted({str(node) for node in nodes})
            self._nodes.set(len(names))
            self._node_info.set(*({"client": name} for name in names))
        else:
            self._nodes.set(nodes)
            self._node_info.set()  # which ones they are is not known any more
        if self._nodes.value() != before:
            self._context.emit("nodes.changed", nodes=self._nodes.value())

    def node_samples(self, samples: int, node: Optional[str] = None) -> None:
        """Say how many samples a node has (NodeSampleNum).

        Args:
            samples: their number.
            node: the node's name; this worker's own where it is not given.
        """
        with self._context.boundary:
            name = self._context.node if node is None else str(node)
            self._context.instruments.gauge(federated.NODE_SAMPLES, client=name).set(samples)

    @contextmanager
    def aggregation(self, number: Optional[int] = None) -> Iterator[Aggregation]:
        """The aggregator's round: from waiting for updates to the aggregate sent.

        Ends well, it counts (AggregationNo); the time runs from the first :meth:`Aggregation.update`. A script that
        never calls :meth:`train_nodes` has as TrainNodes those whose update came.

        Args:
            number: the round's number; one more than the last where it is not given.
        """
        boundary, emit = self._context.boundary, self._context.emit
        aggregation: Any = None
        with boundary:
            if number is None:
                number = int(self._round.value() or 0) + 1
            self._aggregations  # noqa: B018 - a rate needs the series to be there, at 0, before the first round ends
            aggregation = Aggregation(self, self._context.clock, boundary)
            emit.bind(iteration=number)
            emit("aggregation.started", round=number)
        if aggregation is None:
            aggregation = Noop()
        try:
            yield aggregation
        except BaseException as error:
            with boundary:
                emit("aggregation.failed", round=number, error=type(error).__name__, reason=reason(error))
            raise
        with boundary:
            count, durations = self._aggregations
            seconds = aggregation.seconds()
            durations.observe(seconds)
            count.inc()
            self._round.set(number)
            if not self._was_told_nodes:
                self._set_nodes(aggregation.nodes)
            emit("aggregation.completed", round=number, nodes=len(aggregation.nodes), duration_seconds=seconds)
            self._context.on_success()

    @cached_property
    def _training(self) -> TrainingSeries:
        return TrainingSeries(self._context)

    @cached_property
    def _aggregations(self) -> Tuple[Counter, CallHistogram]:
        instruments = self._context.instruments
        return instruments.counter(federated.AGGREGATIONS), instruments.call_histogram(federated.AGGREGATION_DURATION)


class Aggregation:
    """One round of aggregation.

    Attributes:
        nodes: names of the nodes whose update came, in that order.
    """

    def __init__(self, task: FederatedLearning, clock: Clock, boundary: ErrorBoundary) -> None:
        self._task = task
        self._clock = clock
        self._boundary = boundary
        self._began = clock.monotonic()
        self.nodes: List[str] = []

    def update(self, node: str, samples: Optional[int] = None) -> None:
        """A node's update came.

        Args:
            node: the node's name.
            samples: number of samples that it trained on (NodeSampleNum).
        """
        with self._boundary:
            if not self.nodes:
                self._began = self._clock.monotonic()
            if node not in self.nodes:
                self.nodes.append(node)
            if samples is not None:
                self._task.node_samples(samples, node)

    def seconds(self) -> float:
        """Time since the first update, or since the round began where none came."""
        return max(0.0, self._clock.monotonic() - self._began)
