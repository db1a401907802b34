"""A collector: takes spans over OTLP/HTTP, decodes them with OpenTelemetry's own code.

Prints its port, then a line of JSON for each span.
"""

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


def pairs(attributes):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def shown(span, resource, headers):
    return {
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "state": span.trace_state,
        "name": span.name,
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": pairs(span.attributes),
        "events": [{"name": e.name, "at": e.time_unix_nano, "attributes": pairs(e.attributes)} for e in span.events],
        "status": span.status.code,
        "flags": span.flags,
        "resource": pairs(resource.attributes),
        "headers": headers,
    }


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)  # rotel's way
        assert self.path == "/v1/traces", self.path
        assert self.headers["content-type"] == "application/x-protobuf"
        headers = {name.lower(): value for name, value in self.headers.items()}
        lines = []
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in of.scope_spans:
                lines += [json.dumps(shown(span, of.resource, headers)) for span in scope.spans]
        sys.stdout.write("".join(line + "\n" for line in lines))
        sys.stdout.flush()
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass  # a sidekey that a test has killed

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
