class BaseServer:
    pass
