from sedna.core.multi_edge_inference.components import BaseService


class FEService(BaseService):
    def process_data(self, ai, data, **kwargs):
        ai.inference(data)
