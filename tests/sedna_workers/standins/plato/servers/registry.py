import os
import time


class Server:
    def run(self):
        time.sleep(1)
        os._exit(0)


def get(model=None):
    return Server()
