"""The other end of a WebSocket: `serve PORT`, or `call URL` as a client does it."""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


async def echo(connection):
    path = connection.request.path
    token = connection.request.headers.get("Authorization", "")
    await connection.send(f"{path} {token}")
    async for message in connection:
        await connection.send(message)


async def listen(port):
    async with serve(echo, "127.0.0.1", port, max_size=None) as server:
        await server.serve_forever()


async def call(url):
    async with connect(url, max_size=None, proxy=None) as connection:
        print(await connection.recv())
        for message in ["short", "\u00e4" * 70_000, bytes(range(256)) * 4096]:
            await connection.send(message)
            assert await connection.recv() == message
        await connection.send(iter(["in ", "several ", "parts"]))
        assert await connection.recv() == "in several parts"
        await (await connection.ping())
    print(connection.close_code)


if __name__ == "__main__":
    verb, argument = sys.argv[1:]
    asyncio.run(listen(int(argument)) if verb == "serve" else call(argument))
