class BaseService:
    def __init__(self, consumer_topics=[], producer_topics=[], plugins=[], models=[], timeout=10):  # noqa: B006
        self.models = models

    def put(self, data):
        for ai in self.models:
            self.process_data(ai, data)
