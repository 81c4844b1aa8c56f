import asyncio
import os


class Client:
    def configure(self):
        pass

    async def start_client(self):
        await asyncio.sleep(1)
        os._exit(0)


def get(model=None, datasource=None):
    return Client()
