from sedna.core.base import JobBase


class IncrementalLearning(JobBase):
    model_urls = "/models/new.pb;/models/old.pb"
    miner = None

    def __init__(self, estimator, hard_example_mining=None):
        super().__init__(estimator)
        self.miner = hard_example_mining

    def train(self, train_data, valid_data=None, post_process=None, **kwargs):
        result = self.estimator.train(train_data=train_data, valid_data=valid_data, **kwargs)
        self.report_task_info(None, "completed", [{"format": "pb", "url": "/models/3.pb", "metrics": result}])
        return self.estimator

    def inference(self, data=None, post_process=None, **kwargs):
        result = self.estimator.predict(data, **kwargs)
        return result, result, self.miner(result) if self.miner else False

    def evaluate(self, data, post_process=None, **kwargs):
        results = []
        for url in self.model_urls.split(";"):
            metrics = self.estimator.evaluate(data=data, model_path=url)
            results.append({"format": "pb", "url": url, "metrics": metrics})
        self.report_task_info(None, "completed", results, kind="eval")
        return results
