"""Federated learning, observed on stand-ins: the train worker's rounds, and the aggregator's."""

from __future__ import annotations

import asyncio
import inspect
import os
from types import SimpleNamespace

import pytest
from support import value, values

import sedna_metrics


def state(worker, name="sedna_train_status"):
    return [dict(labels)["status"] for labels, number in values(worker, name).items() if number == 1]


def aggregate(number, flag):
    return {
        "type": "recv_weight",
        "data": {"round_number": number, "total_sample": 8, "weights": [], "exit_flag": flag},
    }


class Estimator:
    rounds = 0

    def train(self, train_data):
        self.rounds += 1
        return {"loss": [9.0, 1.0 / self.rounds]}


@pytest.fixture
def train(sedna, start):
    worker = start({"WORKER_NAME": "trainworker-x", "NODE_NAME": "node-7"})
    with sedna_metrics.observe_sedna(worker):

        def train_(messages, samples=5):
            client = sedna("service.client").AggregationClient(messages, "trainworker-x")
            job = sedna("core.federated_learning.federated_learning").FederatedLearning(Estimator(), client)
            return job.train(range(samples) if isinstance(samples, int) else samples)

        train_.worker = worker
        yield train_


def test_a_train_workers_rounds(train):
    worker, seen = train.worker, []

    def look():
        seen.append((state(worker), value(worker, "sedna_iteration"), value(worker, "sedna_aggregation_round")))
        return aggregate(len(seen), "ok" if len(seen) == 3 else "continue")

    estimator = train([look, {"type": "CLIENT_JOIN"}, None, look, look])
    assert estimator.rounds == 3
    assert seen == [(["waiting"], 1, None), (["waiting"], 2, 1), (["waiting"], 3, 2)]
    assert value(worker, "sedna_iteration") == 3
    assert value(worker, "sedna_aggregation_round") == 3
    assert value(worker, "sedna_training_samples") == 5
    assert value(worker, "sedna_node_samples", client="trainworker-x") == 5
    assert value(worker, "sedna_training_loss") == pytest.approx(1 / 3)
    assert value(worker, "sedna_training_output_model_info", url="/models/3.pb") == 1
    assert state(worker) == ["completed"]
    assert values(worker, "sedna_aggregations_total") == {}, "the aggregator counts them"


def test_a_train_workers_samples_are_those_that_it_sends(train):
    train([aggregate(1, "ok")], samples={"x": [1, 2, 3], "y": [1, 2, 3]})  # whose len() Sedna takes, and sends
    assert value(train.worker, "sedna_node_samples", client="trainworker-x") == 2
    assert value(train.worker, "sedna_training_samples") == 2


def test_a_train_worker_that_loses_the_aggregator_fails(train):
    def lost():
        raise ConnectionError("closed")

    with pytest.raises(ConnectionError, match="closed"):
        train([lost])
    assert state(train.worker) == ["failed"]


class Socket:
    def __init__(self, during=None):
        self.messages = []
        self._during = during

    async def send_json(self, message):
        if self._during:
            during, self._during = self._during, None
            await during()
        self.messages.append(message)


def update(samples, weights=1):
    return {"type": "update_weight", "data": {"num_samples": samples, "weights": weights}}


@pytest.fixture
def aggregator(sedna, start):
    worker = start({"WORKER_NAME": "aggworker-x"})
    with sedna_metrics.observe_sedna(worker):
        aggregator = sedna("service.server.aggregation").Aggregator()
        aggregator.worker = worker
        yield aggregator


def test_send_message_stays_a_coroutine_function(aggregator):
    assert inspect.iscoroutinefunction(type(aggregator).send_message)


def test_an_aggregators_rounds(aggregator, clock):
    worker, sockets = aggregator.worker, {"a": Socket(), "b": Socket()}

    async def two_rounds():
        for name, socket in sockets.items():
            await aggregator.send_message(name, {"type": "subscribe"})
            aggregator.add_client(name, socket)
        assert value(worker, "sedna_train_nodes") == 2
        assert values(worker, "sedna_train_node_info") == {(("client", "a"),): 1, (("client", "b"),): 1}
        for _ in range(2):
            await aggregator.send_message("a", update(3))
            clock.advance(4)
            await aggregator.send_message("b", update(5))
            clock.advance(100)

    asyncio.run(two_rounds())
    assert value(worker, "sedna_aggregation_round") == 2
    assert value(worker, "sedna_aggregations_total") == 2
    assert value(worker, "sedna_aggregation_duration_seconds_sum") == 8
    assert value(worker, "sedna_aggregation_duration_seconds_count") == 2
    assert value(worker, "sedna_node_samples", client="a") == 3
    assert value(worker, "sedna_node_samples", client="b") == 5
    assert state(worker) == ["completed"]
    aggregator.remove_client("a")
    assert value(worker, "sedna_train_nodes") == 1
    assert (worker.identity.kind, worker.identity.worker_type) == ("federatedlearningjob", "aggregation")
    assert [message["type"] for message in sockets["a"].messages] == ["subscribe", "recv_weight", "recv_weight"]


def test_an_update_for_the_next_round_may_come_while_the_aggregate_is_sent(aggregator, clock):
    async def early():
        clock.advance(1)
        await aggregator.send_message("a", update(3))
        clock.advance(10)

    async def two_rounds():
        aggregator.add_client("a", Socket(during=early))
        aggregator.add_client("b", Socket())
        await aggregator.send_message("a", update(3))
        await aggregator.send_message("b", update(5))  # 11 s, and within it round 2 begins
        clock.advance(2)
        await aggregator.send_message("b", update(5))  # 12 s after its first update

    asyncio.run(two_rounds())
    assert value(aggregator.worker, "sedna_aggregations_total") == 2
    assert value(aggregator.worker, "sedna_aggregation_round") == 2
    assert value(aggregator.worker, "sedna_aggregation_duration_seconds_sum") == 11 + 12


def test_an_aggregation_that_raises_is_none(aggregator, clock):
    async def rounds():
        aggregator.add_client("a", Socket())
        await aggregator.send_message("a", update(3))
        with pytest.raises(TypeError):
            await aggregator.send_message("b", update(5, weights="text"))
        assert value(aggregator.worker, "sedna_aggregations_total") == 0
        assert value(aggregator.worker, "sedna_aggregation_round") is None
        aggregator.updates.clear()
        clock.advance(100)
        await aggregator.send_message("a", update(3))
        clock.advance(4)
        await aggregator.send_message("b", update(5))

    asyncio.run(rounds())
    assert value(aggregator.worker, "sedna_aggregations_total") == 1
    assert value(aggregator.worker, "sedna_aggregation_round") == 2, "Sedna takes the number before it aggregates"
    assert value(aggregator.worker, "sedna_aggregation_duration_seconds_sum") == 4


def test_a_client_that_is_refused_is_no_node(aggregator):
    aggregator.add_client("a", Socket())
    with pytest.raises(ValueError, match="already"):
        aggregator.add_client("a", Socket())
    assert value(aggregator.worker, "sedna_train_nodes") == 1


def test_a_server_that_ends_before_its_last_round_has_failed(aggregator, sedna):
    seen = []
    server = sedna("service.server.aggregation").AggregationServer(lambda: seen.append(state(aggregator.worker)))
    server.start()
    assert seen == [["running"]]
    assert state(aggregator.worker) == ["failed"]


def test_a_server_that_ends_after_its_last_round_has_completed(aggregator, sedna):
    async def rounds():
        for _ in range(2):
            for name in ("a", "b"):
                await aggregator.send_message(name, update(3))

    sedna("service.server.aggregation").AggregationServer(lambda: asyncio.run(rounds())).start()
    assert state(aggregator.worker) == ["completed"]


class ExitError(BaseException):
    """In place of the process's end."""


@pytest.fixture
def ends(mocker):
    """Plato ends its processes by os._exit: gives the worker's state there, and the status."""
    seen = []

    def leave(status):
        seen.append((state(ends_.worker), status))
        raise ExitError

    mocker.patch("os._exit", leave)
    ends_ = SimpleNamespace(seen=seen, worker=None)
    return ends_


@pytest.mark.parametrize(("status", "end"), [(0, "completed"), (1, "failed")])
def test_a_train_worker_of_version_2(sedna, start, ends, caplog, status, end):
    ends.worker = worker = start({"WORKER_NAME": "trainworker-x"})
    seen = []

    def plato():
        seen.append((state(worker), value(worker, "sedna_training_samples")))
        os._exit(status)

    with sedna_metrics.observe_sedna(worker):
        data = SimpleNamespace(trainset=range(7))
        with pytest.raises(ExitError):
            sedna("core.federated_learning.federated_learning").FederatedLearningV2(data, plato).train()
    assert seen == [(["running"], 7)]
    assert ends.seen == [([end], status)]
    assert value(worker, "sedna_node_samples", client="trainworker-x") == 7
    assert (value(worker, "sedna_worker_last_success_timestamp_seconds") is not None) == (status == 0)
    assert sedna_metrics.running() is None, "its last state is pushed before the process is gone"
    (warning,) = caplog.records
    assert warning.getMessage().startswith("FederatedLearningV2: Plato's rounds, losses and clients")


def test_a_train_worker_of_version_2_on_data_of_platos(sedna, start):
    worker = start({"WORKER_NAME": "trainworker-x"})
    leave = os._exit
    with sedna_metrics.observe_sedna(worker):
        sedna("core.federated_learning.federated_learning").FederatedLearningV2(None, lambda: None).train()
    assert os._exit is leave
    assert value(worker, "sedna_training_samples") is None
    assert state(worker) == ["completed"]


def test_a_child_that_plato_forks_ends_nothing(sedna, start, ends, mocker):
    ends.worker = worker = start({"WORKER_NAME": "trainworker-x"})

    def plato():
        mocker.patch("os.getpid", return_value=-1)
        os._exit(0)

    with sedna_metrics.observe_sedna(worker):
        with pytest.raises(ExitError):
            sedna("core.federated_learning.federated_learning").FederatedLearningV2(None, plato).train()
        assert sedna_metrics.running() is worker
        assert value(worker, "sedna_worker_last_success_timestamp_seconds") is None


def test_an_aggregation_worker_of_version_2(sedna, start, ends, caplog):
    ends.worker = worker = start({"WORKER_NAME": "aggworker-x"})
    seen = []

    def plato():
        seen.append(state(worker))
        os._exit(0)

    with sedna_metrics.observe_sedna(worker), pytest.raises(ExitError):
        sedna("service.server.aggregation").AggregationServerV2(None, plato).start()
    assert seen == [["running"]]
    assert ends.seen == [(["completed"], 0)]
    assert value(worker, "sedna_train_nodes") is None
    assert len(caplog.records) == 1
