"""Calls of every kind through a channel to the given address; prints what came of them."""

import json
import queue
import sys
import time

import grpc

# Waiting, as long as any machine needs.
PATIENCE = 60

channel = grpc.insecure_channel(sys.argv[1], options=(("grpc.enable_http_proxy", 0),))
said = {}


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return None


# The first token is rejected, and the call is made once more with the next.
unary = channel.unary_unary("/t.T/Unary")
answer, call = unary.with_call(b"hello", timeout=PATIENCE)
trailers = {key: value for key, value in call.trailing_metadata()}
said["unary"] = answer.decode()
said["trailers"] = [trailers["x-sum"], trailers["x-raw-bin"].hex()]
said["large"] = len(unary(b"x" * 3_000_000, timeout=PATIENCE))

stream = channel.unary_stream("/t.T/ServerStream")
said["server_stream"] = [n.decode() for n in stream(b"5", timeout=PATIENCE)]
collect = channel.stream_unary("/t.T/ClientStream")
said["client_stream"] = collect(iter([b"a", b"b", b"c"]), timeout=PATIENCE).decode()

# Each message is sent when the last has come back.
turns = queue.Queue()
answers = channel.stream_stream("/t.T/Bidi")(iter(turns.get, None), timeout=PATIENCE)
said["bidi"] = []
for message in [b"one", b"two", b"three"]:
    turns.put(message)
    said["bidi"].append(next(answers).decode())
turns.put(None)
said["bidi_end"] = next(answers, "the end")

said["fails"] = failure(lambda: channel.unary_unary("/t.T/Fails")(b"", timeout=PATIENCE))
said["late"] = failure(lambda: list(channel.unary_stream("/t.T/Late")(b"", timeout=PATIENCE)))
said["unknown"] = failure(lambda: channel.unary_unary("/t.T/Nothing")(b"", timeout=PATIENCE))[0]
said["slow"] = failure(lambda: channel.unary_unary("/t.T/Slow")(b"", timeout=1))[0]


def seen():
    return json.loads(channel.unary_unary("/t.T/Seen")(b"", timeout=PATIENCE))


end = time.monotonic() + PATIENCE
while ["cancelled", ""] not in seen() and time.monotonic() < end:
    time.sleep(0.05)
said["seen"] = seen()
print(json.dumps(said))
