// Listens to an event stream; asks for the next event once it has the last.
const [stream, next] = process.argv.slice(2);
const response = await fetch(stream);
let text = "";
let events = 0;
for await (const bytes of response.body.pipeThrough(new TextDecoderStream())) {
  text += bytes;
  while (text.includes("\n\n")) {
    text = text.slice(text.indexOf("\n\n") + 2);
    events += 1;
    if (events === 5) {
      console.log(response.headers.get("content-type"), events);
      process.exit(0);
    }
    await fetch(next, { method: "POST" });
  }
}
