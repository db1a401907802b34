// An event stream whose next event comes when somebody asks for it with
// `POST /next`: whoever has not seen the last one can't have.
import { createServer } from "node:http";

const listeners = new Set();
let number = 1;
const event = () => `id: ${number}\ndata: ${number}\n\n`;

createServer((request, response) => {
  if (request.url === "/next") {
    number += 1;
    for (const listener of listeners) listener.write(event());
    response.writeHead(204).end();
    return;
  }
  number = 1;
  response.writeHead(200, {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
  });
  response.write(event());
  listeners.add(response);
  response.on("close", () => listeners.delete(response));
}).listen(Number(process.argv[2]), "127.0.0.1");
