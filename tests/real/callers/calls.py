"""A round of calls to an address, with requests or httpx (also over HTTP/2): fails on a wrong answer."""

import sys

library, base = sys.argv[1:]
pieces = [b"piece %d;" % number for number in range(1000)]
streamed = len(b"".join(pieces))

if library == "requests":
    import requests

    client = requests.Session()
    client.trust_env = False
else:
    import httpx

    over_http2 = library == "httpx-h2"
    client = httpx.Client(http1=not over_http2, http2=over_http2, trust_env=False, timeout=60)


def check(method, path, expected, **body):
    for attempt in range(3):
        answer = client.request(method, base + path, **body)
        assert answer.status_code == 200, (method, answer.status_code, answer.text)
        text = answer.text if method != "HEAD" else ""
        assert text == expected, (method, text[:200], expected[:200])


check("GET", "/items?q=a+b%26c&n=1", "GET /items?q=a+b%26c&n=1 0")
check("POST", "/items", "POST /items 100000", **{"data" if library == "requests" else "content": b"x" * 100_000})
check("HEAD", "/items", "")
key = "data" if library == "requests" else "content"
answer = client.put(base + "/stream", **{key: iter(pieces)})
assert answer.text == f"PUT /stream {streamed}", answer.text
print("done")
