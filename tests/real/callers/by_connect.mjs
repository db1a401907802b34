// Calls an https:// address through CONNECT of a proxy, as proxy agents do it: fails on a wrong answer.
import assert from "node:assert/strict";
import http from "node:http";
import https from "node:https";
import tls from "node:tls";

const [proxy, base] = process.argv.slice(2);
const { hostname, port } = new URL(proxy);

class Agent extends https.Agent {
  createConnection(options, done) {
    const path = `${options.host}:${options.port}`;
    const connect = http.request({ hostname, port, method: "CONNECT", path, headers: { Host: path } });
    connect.on("connect", (answer, socket) => {
      if (answer.statusCode !== 200) {
        done(new Error(`CONNECT: ${answer.statusCode}`));
        return;
      }
      done(null, tls.connect({ socket, servername: options.host, ALPNProtocols: ["http/1.1"] }));
    });
    connect.on("error", done);
    connect.end();
  }
}

const agent = new Agent({ keepAlive: true });

function call(method, path, body = "") {
  return new Promise((resolve, reject) => {
    const headers = { "Content-Length": body.length };
    const request = https.request(base + path, { agent, method, headers }, (answer) => {
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
