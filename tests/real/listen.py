"""Listens to an event stream; asks for the next event once it has the last."""

import sys

import requests

stream, following = sys.argv[1:]
session = requests.Session()
session.trust_env = False
events = 0
with session.get(stream, stream=True, timeout=60) as response:
    for line in response.iter_lines(chunk_size=1):
        if line:
            continue
        events += 1
        if events == 5:
            print(response.headers["content-type"], events)
            break
        requests.Session().post(following, timeout=60)
