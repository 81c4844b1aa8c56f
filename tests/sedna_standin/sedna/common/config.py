import os


class Context:
    @classmethod
    def get_parameters(cls, param, default=None):
        return os.environ.get(param.upper()) or default
