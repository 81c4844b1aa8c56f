"""Federated learning: nodes, rounds, aggregations."""

from __future__ import annotations

from sedna_metrics.catalogue import federated, learning
from stackgen.dashboards import _learning
from stackgen.dashboards._board import board
from stackgen.dashboards._panels import bars, lines, numbers, rows, spread, states
from stackgen.dashboards._queries import buckets, highest, of, quantile, rate, state, total
from stackgen.dashboards._resource import condition

_ROUNDS = [
    numbers("TrainNodes", "Nodes that take part now.", {"{{task}}": highest(federated.TRAIN_NODES, "task")}),
    numbers(
        "AggregationNo",
        "Number of the last finished aggregation.",
        {"{{task}}": highest(federated.AGGREGATION_ROUND, "task")},
    ),
    numbers(
        "IterationNo",
        "Local round of each training worker; one that stays behind slows all.",
        {"{{worker}}": of(learning.ITERATION)},
        span=8,
    ),
    numbers(
        "Aggregations",
        "Aggregations that finished, since the aggregator started.",
        {"{{task}}": total(federated.AGGREGATIONS, "task")},
    ),
    states(
        "TrainStatus",
        "What each training worker is at; waiting is for the aggregate.",
        {"{{worker}}": state(federated.TRAIN_STATUS, "task, worker")},
        federated.TRAIN_STATUS.states,
    ),
    condition("FederatedLearningJob"),
    lines(
        "Rounds",
        "Local rounds of the training workers, and the aggregator's.",
        {"{{worker}}": of(learning.ITERATION), "{{worker}} aggregated": of(federated.AGGREGATION_ROUND)},
    ),
    lines("Nodes", "Nodes that take part.", {"{{task}}": highest(federated.TRAIN_NODES, "task")}, span=6),
    rows(
        "Nodes that take part",
        "As the aggregator knows them.",
        {"nodes": highest(federated.TRAIN_NODE, "task, client")},
        {"task": "Task", "client": "Client"},
        span=6,
    ),
]
_AGGREGATION = [
    bars(
        "NodeSampleNum",
        "Samples of each node: the weight of its update.",
        {"{{client}}": highest(federated.NODE_SAMPLES, "client")},
    ),
    lines(
        "Aggregations an hour",
        "How often an aggregate is made.",
        {"{{task}}": f"{rate(federated.AGGREGATIONS, 'task')} * 3600"},
        span=6,
    ),
    lines(
        "Duration of aggregations",
        "From the first update received to the aggregate sent: what the slowest node costs.",
        {f"p{q}": quantile(q / 100, federated.AGGREGATION_DURATION) for q in (50, 95)},
        "s",
        span=6,
    ),
    spread("Spread of aggregations", "How long aggregations take.", buckets(federated.AGGREGATION_DURATION), span=6),
]

BOARD = board(
    "sedna-federated-learning",
    "Federated learning",
    "Nodes and their samples, rounds, aggregations, what each worker is at, loss.",
    {"Rounds": _ROUNDS, "Aggregation": _AGGREGATION, **_learning.training()},
    tasks_from=f'{federated.TRAIN_STATUS.name}{{namespace=~"$namespace"}}',
)
