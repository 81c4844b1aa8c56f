from sedna.algorithms.unseen_task_processing.unseen_task_processing import UnseenTaskProcessing
from sedna.core.base import JobBase
from sedna.core.lifelong_learning.knowledge_management.cloud_knowledge_management import CloudKnowledgeManagement
from sedna.core.lifelong_learning.knowledge_management.edge_knowledge_management import EdgeKnowledgeManagement


class LifelongLearning(JobBase):
    initial = True

    def __init__(self, seen_estimator, unseen_estimator=None, task_definition=None):
        super().__init__(seen_estimator)
        self.cloud, self.edge = CloudKnowledgeManagement(), EdgeKnowledgeManagement()
        self.unseen = UnseenTaskProcessing()

    def train(self, train_data, valid_data=None, post_process=None, **kwargs):
        if not self.initial:
            return self.update(train_data, valid_data=valid_data, post_process=post_process, **kwargs)
        result = self.estimator.train(train_data)
        self.cloud.save_task_index(self.estimator.index, task_type="seen_task")
        self.cloud.save_task_index({"task_groups": []}, task_type="unseen_task")
        self.report_task_info(None, "completed", [{"format": "pkl", "url": "/kb/index.pkl", "metrics": None}])
        return result

    def update(self, train_data, valid_data=None, post_process=None, **kwargs):
        self.estimator.train(train_data)
        self.report_task_info(None, "completed", [{"format": "pkl", "url": "/kb/index.pkl", "metrics": None}])
        return "/kb/index.pkl"

    def evaluate(self, data, post_process=None, **kwargs):
        result = self.estimator.evaluate(data)
        entry = {"format": "pkl", "url": "/kb/index.pkl", "metrics": result}
        self.report_task_info(None, "completed", [entry], kind="eval")
        return result

    def inference(self, data=None, post_process=None, unseen_sample_postprocess=None, **kwargs):
        unseen = [x for x in data if x > 100]
        if unseen:
            self.unseen.predict(unseen, task_index="index.pkl")
        if len(data) == 1:
            return data, bool(unseen), []
        return data, {x: x > 100 for x in data}, []
