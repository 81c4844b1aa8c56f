class UnseenTaskProcessing:
    def predict(self, data, post_process=None, **kwargs):
        return [9] * len(data), []
