// A round of calls to an address, with Node's fetch or its HTTP/2 client: fails on a wrong answer.
import assert from "node:assert/strict";
import http2 from "node:http2";

const [how, base] = process.argv.slice(2);
const pieces = Array.from({ length: 1000 }, (_, number) => Buffer.from(`piece ${number};`));
const streamed = Buffer.concat(pieces).length;

async function* inPieces() {
  yield* pieces;
}

const session = how === "http2" ? http2.connect(new URL(base).origin) : undefined;

function overHttp2(method, path, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": method, ":path": new URL(base).pathname + path });
    let status;
    let text = "";
    stream.on("response", (head) => (status = head[":status"]));
    stream.on("data", (data) => (text += data));
    stream.on("end", () => resolve([status, text]));
    stream.on("error", reject);
    for (const piece of Array.isArray(body) ? body : body ? [body] : []) stream.write(piece);
    stream.end();
  });
}

async function byFetch(method, path, body) {
  const streams = Array.isArray(body);
  const answer = await fetch(base + path, {
    method,
    body: streams ? inPieces() : body,
    ...(streams ? { duplex: "half" } : {}),
  });
  return [answer.status, await answer.text()];
}

const call = session ? overHttp2 : byFetch;
for (let round = 0; round < 3; round += 1) {
  assert.deepEqual(await call("GET", "/items?q=a+b%26c&n=1"), [200, "GET /items?q=a+b%26c&n=1 0"]);
  assert.deepEqual(await call("POST", "/items", Buffer.alloc(100_000)), [200, "POST /items 100000"]);
  assert.deepEqual(await call("HEAD", "/items"), [200, ""]);
}
assert.deepEqual(await call("PUT", "/stream", pieces), [200, `PUT /stream ${streamed}`]);
session?.close();
console.log("done");
