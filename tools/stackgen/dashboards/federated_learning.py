"""Federated learning: nodes, rounds, aggregations."""

from __future__ import annotations

from sedna_metrics.catalogue import federated, learning
from stackgen.dashboards import _learning
from stackgen.dashboards._board import board
from stackgen.dashboards._panels import bars, lines, numbers, rows, spread, states
from stackgen.dashboards._queries import buckets, highest, of, quantile, rate, state, total
from stackgen.dashboards._resource import condition

_ROUNDS = [
    numbers("TrainNodes", "Nodes in training now.", {"{{task}}": highest(federated.TRAIN_NODES, "task")}),
    numbers(
        "AggregationNo",
        "Number of the last finished aggregation.",
        {"{{task}}": highest(federated.AGGREGATION_ROUND, "task")},
    ),
    numbers(
        "IterationNo",
        "Local round of each training worker; a slow one delays all.",
        {"{{worker}}": of(learning.ITERATION)},
        span=8,
    ),
    numbers(
        "Aggregations",
        "Finished aggregations since the aggregator started.",
        {"{{task}}": total(federated.AGGREGATIONS, "task")},
    ),
    states(
        "TrainStatus",
        "Status of each worker; waiting means waiting for the aggregate.",
        {"{{worker}}": state(federated.TRAIN_STATUS, "task, worker")},
        federated.TRAIN_STATUS.states,
    ),
    condition("FederatedLearningJob"),
    lines(
        "Rounds",
        "Local round of each training worker, and the aggregator's round.",
        {"{{worker}}": of(learning.ITERATION), "{{worker}} aggregated": of(federated.AGGREGATION_ROUND)},
    ),
    lines("Nodes", "Nodes in training.", {"{{task}}": highest(federated.TRAIN_NODES, "task")}, span=6),
    rows(
        "Participating nodes",
        "Clients that the aggregator knows.",
        {"nodes": highest(federated.TRAIN_NODE, "task, client")},
        {"task": "Task", "client": "Client"},
        span=6,
    ),
]
_AGGREGATION = [
    bars(
        "NodeSampleNum",
        "Samples of each client: the weight of its update.",
        {"{{client}}": highest(federated.NODE_SAMPLES, "task, client")},
    ),
    lines(
        "Aggregations per hour",
        "Finished aggregations per hour.",
        {"{{task}}": f"{rate(federated.AGGREGATIONS, 'task')} * 3600"},
        span=6,
    ),
    lines(
        "Aggregation duration",
        "From the first update received to the aggregate sent. The slowest node sets it.",
        {f"{{{{task}}}} p{q}": quantile(q / 100, federated.AGGREGATION_DURATION, "task") for q in (50, 95)},
        "s",
        span=6,
    ),
    spread(
        "Aggregation duration distribution",
        "Number of aggregations by duration.",
        buckets(federated.AGGREGATION_DURATION),
        span=6,
    ),
]

BOARD = board(
    "sedna-federated-learning",
    "Federated learning",
    "Nodes and their samples, rounds, aggregations, status of each worker, loss.",
    {"Rounds": _ROUNDS, "Aggregation": _AGGREGATION, **_learning.training()},
    tasks_from=f'{federated.TRAIN_STATUS.name}{{namespace=~"$namespace"}}',
)
