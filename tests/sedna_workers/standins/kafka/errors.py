class KafkaError(Exception):
    pass


class NoBrokersAvailable(KafkaError):
    pass
