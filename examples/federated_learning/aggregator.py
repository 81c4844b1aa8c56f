"""Federated learning, aggregation worker: waits for every node's update, averages them by samples, sends the mean."""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from truth import Truth

PARTICIPANTS = int(os.environ.get("PARTICIPANTS_COUNT", "3"))
ROUNDS = int(os.environ.get("EXIT_ROUND", "5"))
arrived = threading.Condition()
updates: dict = {}
aggregates: dict = {}


class Handler(BaseHTTPRequestHandler):
    """A node posts its update and is answered with the aggregate of that round."""

    def do_POST(self) -> None:
        update = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with arrived:
            updates.setdefault(update["round"], {})[update["client"]] = update
            arrived.notify_all()
            arrived.wait_for(lambda: update["round"] in aggregates)
            body = json.dumps(aggregates[update["round"]]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    truth = Truth()
    address = (os.environ.get("AGG_BIND_IP", "127.0.0.1"), int(os.environ.get("AGG_BIND_PORT", "7363")))
    with sedna_metrics.start() as worker, ThreadingHTTPServer(address, Handler) as server:
        fl = worker.federated_learning
        threading.Thread(target=server.serve_forever, daemon=True).start()
        samples: dict = {}
        for number in range(1, ROUNDS + 1):
            with fl.aggregation(number) as aggregation:
                known = 0
                while known < PARTICIPANTS:
                    with arrived:
                        arrived.wait_for(lambda n=number, k=known: len(updates.get(n, {})) > k)
                        clients = list(updates[number])[known:]
                    for client in clients:
                        samples[client] = updates[number][client]["samples"]
                        aggregation.update(client, samples[client])
                    known += len(clients)
                fl.train_nodes(list(updates[number]))
                parts = updates[number].values()
                total = sum(part["samples"] for part in parts)
                mean = sum(np.array(part["weights"]) * (part["samples"] / total) for part in parts)
                with arrived:
                    aggregates[number] = {"weights": mean.tolist(), "last": number == ROUNDS}
                    arrived.notify_all()
        truth.expect("AggregationNo", "sedna_aggregation_round", ROUNDS)
        truth.expect("", "sedna_aggregations_total", ROUNDS)
        truth.expect("", "sedna_aggregation_duration_seconds_count", ROUNDS)
        truth.expect("TrainNodes", "sedna_train_nodes", len(samples))
        for client, count in samples.items():
            truth.expect("NodeSampleNum", "sedna_node_samples", count, client=client)
        server.shutdown()
    print(f"{ROUNDS} rounds over {total} samples of {len(samples)} nodes")
    truth.publish()


if __name__ == "__main__":
    main()
