// A server that rejects the first token it sees, and says how much came with any other; where the
// caller asks before it sends a body, the word is said before a byte of it is read.
import { createServer } from "node:http";

let rejected;

function answer(request, response, asks) {
  const token = request.headers.authorization;
  rejected ??= token;
  const end = (length) => {
    if (token === rejected) {
      response.writeHead(401, { "WWW-Authenticate": 'Bearer error="invalid_token"' }).end("rejected");
    } else {
      response.end(`${length} ${asks ? "asked" : "came"}`);
    }
  };
  if (asks && token === rejected) {
    end(0);
    return;
  }
  if (asks) response.writeContinue();
  let length = 0;
  request.on("data", (data) => (length += data.length));
  request.on("end", () => end(length));
}

createServer((request, response) => answer(request, response, false))
  .on("checkContinue", (request, response) => answer(request, response, true))
  .listen(Number(process.argv[2]), "127.0.0.1");
