// Calls an address through a proxy with Node's http, the target written whole: fails on a wrong answer.
import assert from "node:assert/strict";
import http from "node:http";

const [proxy, base] = process.argv.slice(2);
const { hostname, port } = new URL(proxy);
const agent = new http.Agent({ keepAlive: true });

function call(method, path, body = "") {
  return new Promise((resolve, reject) => {
    const headers = { Host: new URL(base).host, "Content-Length": body.length };
    const request = http.request({ hostname, port, agent, method, path: base + path, headers }, (answer) => {
      let text = "";
      answer.on("data", (data) => (text += data));
      answer.on("end", () => resolve([answer.statusCode, text]));
    });
    request.on("error", reject);
    request.end(body);
  });
}

for (let round = 0; round < 3; round += 1) {
  assert.deepEqual(await call("GET", "/v1/items?q=a+b%26c"), [200, "GET /v1/items?q=a+b%26c "]);
  assert.deepEqual(await call("POST", "/v1/items", "a body"), [200, "POST /v1/items a body"]);
}
agent.destroy();
console.log("done");
