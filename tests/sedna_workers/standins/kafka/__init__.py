"""kafka-python's names, over lists in memory: topics are shared within the process."""

import collections

TOPICS = collections.defaultdict(list)


class KafkaAdminClient:
    def __init__(self, **settings):
        pass

    def create_topics(self, **topics):
        pass

    def close(self):
        pass


class Future:
    def get(self, timeout=None):
        return collections.namedtuple("Metadata", "topic partition offset")("t", 0, 0)

    def add_callback(self, callback):
        return self

    add_errback = add_callback


class KafkaProducer:
    def __init__(self, value_serializer, **settings):
        self._serialize = value_serializer

    def send(self, topic, data):
        TOPICS[topic].append(self._serialize(data))
        return Future()

    def close(self):
        pass


class KafkaConsumer:
    def __init__(self, value_deserializer, **settings):
        self._deserialize = value_deserializer
        self._topics = []

    def topics(self):
        return set(TOPICS)

    def subscribe(self, topics):
        self._topics = [topics] if isinstance(topics, str) else list(topics)

    def poll(self, timeout_ms=0):
        record = collections.namedtuple("Record", "value")
        found = {}
        for topic in self._topics:
            messages, TOPICS[topic] = TOPICS[topic], []
            if messages:
                found[topic] = [record(self._deserialize(message)) for message in messages]
        return found

    def close(self):
        pass
