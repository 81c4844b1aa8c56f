from sedna.core.multi_edge_inference.components import BaseService


class FEService(BaseService):
    def __init__(self, models=[], timeout=10):  # noqa: B006
        super().__init__([], [], [], models, timeout)

    def process_data(self, ai, data, **kwargs):
        self.result = ai.inference(data)
