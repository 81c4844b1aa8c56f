from sedna.core.multi_edge_inference.components import BaseService


class ReID(BaseService):
    def process_data(self, ai, data, **kwargs):
        ai.predict(data)
