class uvicorn:
    class config:
        LOGGING_CONFIG = {"loggers": {"uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False}}}  # noqa: RUF012


class BaseServer:
    pass
