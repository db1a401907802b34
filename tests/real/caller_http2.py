"""Calls through sidekey with httpx by HTTP/2; prints what came back as JSON."""

import asyncio
import json
import sys

import httpx

base = sys.argv[1]


async def pieces():
    for _ in range(1000):
        yield b"piece;"


async def main():
    async with httpx.AsyncClient(http1=False, http2=True, timeout=60) as client:
        got = await client.get(base + "/items", params={"q": "a b&c"})
        streamed = await client.put(base + "/stream", content=pieces())
        many = await asyncio.gather(*(client.get(f"{base}/{n}") for n in range(50)))
        answers = [answer.text == f"GET /{n} " for n, answer in enumerate(many)]
        said = {
            "version": got.http_version,
            "get": got.text,
            "stream": len(streamed.content),
            "many": sum(answers),
        }
        print(json.dumps(said))


asyncio.run(main())
