// Calls an address through a proxy with Node's http, the target written whole: fails on a wrong answer.
import http from "node:http";
import { check } from "./proxied.mjs";

const [proxy, base] = process.argv.slice(2);
const { hostname, port } = new URL(proxy);
const agent = new http.Agent({ keepAlive: true });

await check((method, path, length, answered) => {
  const headers = { Host: new URL(base).host, "Content-Length": length };
  return http.request({ hostname, port, agent, method, path: base + path, headers }, answered);
});
agent.destroy();
