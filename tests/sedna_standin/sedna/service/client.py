class ModelClient:
    answers = ()

    def __init__(self, service_name, version="", host="127.0.0.1", port="8080", protocol="http"):
        self.calls = 0

    def inference(self, x, **kwargs):
        self.calls += 1
        answer = self.answers[(self.calls - 1) % len(self.answers)]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class AggregationClient:
    def __init__(self, url, client_id, **kwargs):
        self.received = url  # the test hands in what comes
        self.sent = []

    def send(self, data, msg_type="message", job_name=""):
        self.sent.append((msg_type, data))

    def recv(self, wait_data_type=None):
        message = self.received.pop(0)
        if callable(message):
            message = message()
        return message if message and message.get("type") == wait_data_type else None
