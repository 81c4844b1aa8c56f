from sedna.core.base import JobBase
from sedna.service.client import ModelClient


class BigModelService(JobBase):
    def __init__(self, estimator=None):
        super().__init__(estimator)

    def inference(self, data=None, post_process=None, **kwargs):
        """Infers."""
        return self.estimator.predict(data, **kwargs)


class JointInference(JobBase):
    mining_first = False

    def __init__(self, estimator=None, hard_example_mining=None):
        super().__init__(estimator)
        self.cloud = ModelClient("sedna")
        self.hard_example_mining_algorithm = hard_example_mining

    def _get_edge_result(self, data, callback_func, **kwargs):
        result = self.estimator.predict(data, **kwargs)
        return (callback_func(result) if callback_func else result), result

    def _get_cloud_result(self, data, post_process, **kwargs):
        result = self.cloud.inference(data, post_process=post_process, **kwargs)
        return result, result

    def inference(self, data=None, post_process=None, **kwargs):
        """Infers, then mines; or the other way round."""
        miner = self.hard_example_mining_algorithm
        edge = cloud = None
        if self.mining_first:
            hard = miner(data)
            if hard:
                result, cloud = self._get_cloud_result(data, post_process=post_process, **kwargs)
            else:
                result, edge = self._get_edge_result(data, post_process, **kwargs)
            return [hard, result, edge, cloud]
        result, edge = self._get_edge_result(data, post_process, **kwargs)
        hard = miner(result) if miner else False
        if hard:
            try:
                data = getattr(data, "tolist", lambda: data)()
                cloud = self.cloud.inference(data, post_process=post_process, **kwargs)["result"]
                result = cloud
            except Exception:
                pass
        return [hard, result, edge, cloud]
