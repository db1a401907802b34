"""Signs in at an application through sidekey, as a person's browser would; prints where that led."""

import json
import sys

import requests

base = sys.argv[1]
with requests.Session() as session:
    first = session.get(base + "/", timeout=60)
    signed_in = session.post(first.url, data={"user": "zoë"}, timeout=60)
    again = session.get(base + "/home", timeout=60)
    print(
        json.dumps(
            {
                "first": [first.url, first.text],
                "signed_in": [signed_in.url, signed_in.text],
                "again": [again.url, again.text],
                "cookies": [[cookie.domain, cookie.path] for cookie in session.cookies],
            }
        )
    )
