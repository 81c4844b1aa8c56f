"""What the three components have in common: each model is given the items."""


class BaseService:
    def __init__(self, models):
        self.models = models

    def distribute_data(self, data):
        for ai in self.models:
            self.process_data(ai, data)
