// What callers of a proxy ask for, over and over: fails on a wrong answer.
import assert from "node:assert/strict";

// `begin` begins a request: of a method, to a path, with a length and who takes the answer.
export async function check(begin) {
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual(await call(begin, "GET", "/v1/items?q=a+b%26c"), [200, "GET /v1/items?q=a+b%26c "]);
    assert.deepEqual(await call(begin, "POST", "/v1/items", "a body"), [200, "POST /v1/items a body"]);
  }
  console.log("done");
}

function call(begin, method, path, body = "") {
  return new Promise((resolve, reject) => {
    const request = begin(method, path, body.length, (answer) => {
      let text = "";
      answer.on("data", (data) => (text += data));
      answer.on("end", () => resolve([answer.statusCode, text]));
    });
    request.on("error", reject);
    request.end(body);
  });
}
