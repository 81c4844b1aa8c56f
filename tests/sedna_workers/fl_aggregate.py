"""A federated learning aggregation worker as its author writes it."""

from sedna.common.config import Context
from sedna.service.server import AggregationServer

if __name__ == "__main__":
    server = AggregationServer(
        aggregation="FedAvg",
        exit_round=int(Context.get_parameters("exit_round", 3)),
        participants_count=int(Context.get_parameters("participants_count", 1)),
    )
    server.WAIT_TIME = 0.5  # Sedna looks every 15 s whether the last node has gone
    server.start()
