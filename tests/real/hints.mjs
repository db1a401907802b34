// An upstream that sends Early Hints before each of its answers (RFC 8297), on the port
// that is given.
import { createServer } from 'node:http';

createServer((_, response) => {
  response.writeEarlyHints({ link: '</a.css>; rel=preload; as=style' });
  response.end('content');
}).listen(Number(process.argv[2]), '127.0.0.1');
