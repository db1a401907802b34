// Calls an https:// address through CONNECT of a proxy, as proxy agents do it: fails on a wrong answer.
import http from "node:http";
import https from "node:https";
import tls from "node:tls";
import { check } from "./proxied.mjs";

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

await check((method, path, length, answered) => {
  const headers = { "Content-Length": length };
  return https.request(base + path, { agent, method, headers }, answered);
});
agent.destroy();
