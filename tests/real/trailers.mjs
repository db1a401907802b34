// Trailers both ways, by HTTP/1.1 or HTTP/2, with a server that tells in its own what came in the
// caller's: trailers.mjs serve 1.1|2 PORT, trailers.mjs call 1.1|2 http://…
import assert from "node:assert/strict";
import http from "node:http";
import http2 from "node:http2";

const [what, version, where] = process.argv.slice(2);
const told = (length, came) => ({ "x-sum": `${length} ${came["x-check"] ?? "none"}` });

const servers = {
  1.1: () =>
    http.createServer((request, response) => {
      let length = 0;
      request.on("data", (data) => (length += data.length));
      request.on("end", () => {
        response.writeHead(200, { Trailer: "x-sum" });
        response.write("content");
        response.addTrailers(told(length, request.trailers));
        response.end();
      });
    }),
  2: () =>
    http2.createServer().on("stream", (stream) => {
      let length = 0;
      let came = {};
      stream.on("trailers", (trailers) => (came = trailers));
      stream.on("data", (data) => (length += data.length));
      stream.on("end", () => {
        stream.respond({ ":status": 200, trailer: "x-sum" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers(told(length, came)));
        stream.end("content");
      });
    }),
};

const callers = {
  1.1: () =>
    new Promise((resolve, reject) => {
      const headers = { Trailer: "x-check", TE: "trailers", "Transfer-Encoding": "chunked" };
      const request = http.request(where, { method: "POST", headers }, (response) => {
        let text = "";
        response.on("data", (data) => (text += data));
        response.on("end", () => resolve([response.statusCode, text, response.trailers["x-sum"]]));
      });
      request.on("error", reject);
      request.write("a body");
      request.addTrailers({ "x-check": "7" });
      request.end();
    }),
  2: () =>
    new Promise((resolve, reject) => {
      const { origin, pathname } = new URL(where);
      const session = http2.connect(origin);
      session.on("error", reject);
      const head = { ":method": "POST", ":path": pathname, te: "trailers", trailer: "x-check" };
      const stream = session.request(head, { waitForTrailers: true });
      let status;
      let text = "";
      let sum;
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-check": "7" }));
      stream.on("response", (answer) => (status = answer[":status"]));
      stream.on("trailers", (trailers) => (sum = trailers["x-sum"]));
      stream.on("data", (data) => (text += data));
      stream.on("error", reject);
      stream.on("close", () => {
        session.close();
        resolve([status, text, sum]);
      });
      stream.end("a body");
    }),
};

if (what === "serve") {
  servers[version]().listen(Number(where), "127.0.0.1");
} else {
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual(await callers[version](), [200, "content", "6 7"]);
  }
  console.log("done");
}
