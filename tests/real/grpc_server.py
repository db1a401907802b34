"""A gRPC server whose messages are bytes; it takes no token that begins with `tk1-`."""

import json
import sys
import threading
from concurrent import futures

import grpc

seen = []


class Calls(grpc.GenericRpcHandler):
    def service(self, details):
        token = dict(details.invocation_metadata).get("authorization", "")
        method = details.method
        if method != "/t.T/Seen":
            seen.append([method, token.removeprefix("Bearer ")[:3]])
        if token.startswith("Bearer tk1-"):
            return grpc.stream_stream_rpc_method_handler(rejected)
        return HANDLERS.get(method)


def rejected(requests, context):
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")
    yield b""


def unary(request, context):
    context.set_trailing_metadata((("x-sum", str(len(request))), ("x-raw-bin", b"\x00\xff")))
    return request


def server_stream(request, context):
    for n in range(int(request)):
        yield str(n).encode()


def client_stream(requests, context):
    return b"".join(requests)


def bidi(requests, context):
    for request in requests:
        yield request[::-1]


def slow(request, context):
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(60)
    seen.append(["cancelled", ""])
    return b""


def late(request, context):
    yield b"a message"
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "too late")


def fails(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "50 % Wörter")


def all_seen(request, context):
    return json.dumps(seen).encode()


HANDLERS = {
    "/t.T/Unary": grpc.unary_unary_rpc_method_handler(unary),
    "/t.T/ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "/t.T/ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "/t.T/Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "/t.T/Slow": grpc.unary_unary_rpc_method_handler(slow),
    "/t.T/Late": grpc.unary_stream_rpc_method_handler(late),
    "/t.T/Fails": grpc.unary_unary_rpc_method_handler(fails),
    "/t.T/Seen": grpc.unary_unary_rpc_method_handler(all_seen),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
server.add_generic_rpc_handlers((Calls(),))
assert server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
