"""Calls an address with requests and urllib, which take their proxy from the environment: fails on a wrong answer."""

import sys
import urllib.request

import requests

base = sys.argv[1]


def check(said, expected):
    assert said == expected, (said, expected)


session = requests.Session()
for _ in range(3):
    check(session.get(base + "/v1/items?q=a+b%26c").text, "GET /v1/items?q=a+b%26c ")
    check(session.post(base + "/v1/items", data=b"a body").text, "POST /v1/items a body")
    with urllib.request.urlopen(base + "/v1/items?n=1", timeout=60) as answer:
        check(answer.read(), b"GET /v1/items?n=1 ")
    with urllib.request.urlopen(base + "/v1/items", data=b"a body", timeout=60) as answer:
        check(answer.read(), b"POST /v1/items a body")
print("done")
