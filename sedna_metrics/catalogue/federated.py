"""Metrics of federated learning that no other kind has."""

from __future__ import annotations

from sedna_metrics.catalogue._metric import SLOW_BUCKETS, Metric

TRAIN_STATUSES = ("waiting", "running", "completed", "failed")

# fmt: off
TRAIN_NODES = Metric(
    "sedna_train_nodes", "gauge", "Number of nodes in training now.",
    proposal=("TrainNodes",), minimum=0)
TRAIN_NODE = Metric(
    "sedna_train_node_info", "info", "One series for each client in training now.", labels=("client",))
TRAIN_STATUS = Metric(
    "sedna_train_status", "state", "Status of training; waiting means waiting for the aggregate.",
    labels=("status",), proposal=("TrainStatus",), states=TRAIN_STATUSES)
NODE_SAMPLES = Metric(
    "sedna_node_samples", "gauge",
    "Number of samples of a client; a training worker reports its own, the aggregator those of each client.",
    labels=("client",), proposal=("NodeSampleNum",), minimum=0)
AGGREGATION_ROUND = Metric(
    "sedna_aggregation_round", "gauge", "Number of the last finished aggregation.",
    proposal=("AggregationNo",), minimum=0)
AGGREGATIONS = Metric("sedna_aggregations_total", "counter", "Finished aggregations.")
AGGREGATION_DURATION = Metric(
    "sedna_aggregation_duration_seconds", "histogram", "Time from the first update received to the aggregate sent.",
    buckets=SLOW_BUCKETS)
# fmt: on
