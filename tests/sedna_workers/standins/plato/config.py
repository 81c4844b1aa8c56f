from collections import namedtuple


class Config:
    _it = None

    def __new__(cls):
        if cls._it is None:
            cls._it = super().__new__(cls)
            for name in ("server", "clients", "data", "trainer", "algorithm"):
                setattr(cls._it, name, cls.namedtuple_from_dict({"type": "basic"}))
        return cls._it

    @staticmethod
    def namedtuple_from_dict(values):
        return namedtuple("Values", values)(**values)
