// A WebSocket as Node opens it: says what it gets, then how it ended.
const socket = new WebSocket(process.argv[2]);
const large = "x".repeat(200_000);
let heard = 0;
socket.onmessage = ({ data }) => {
  heard += 1;
  if (heard === 1) {
    console.log(data);
    socket.send(large);
  } else {
    console.log(data === large ? "the same" : "another");
    socket.close(1000, "enough");
  }
};
socket.onclose = ({ code, wasClean }) => console.log(code, wasClean);
socket.onerror = ({ message }) => console.log("error", message);
