"""Calls through sidekey with requests; prints what came back as JSON."""

import json
import sys

import requests

base = sys.argv[1]
with requests.Session() as session:
    got = session.get(base + "/items", params={"q": "a b&c", "n": ["1", "2"]}, timeout=60)
    posted = session.post(base + "/items", json={"name": "Zoë"}, timeout=60)
    pieces = (b"piece %d;" % n for n in range(1000))
    streamed = session.put(base + "/stream", data=pieces, timeout=60)
    print(
        json.dumps(
            {
                "get": [got.status_code, got.text],
                "post": [posted.status_code, posted.text],
                "stream": [streamed.status_code, len(streamed.content)],
            }
        )
    )
