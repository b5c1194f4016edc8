// Reads one JSON object a line from standard input: secret, headers, and the
// body in base64. Answers each with one line: ok, or why not.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64"), headers);
    console.log("ok");
  } catch (err) {
    console.log(String(err.message ?? err));
  }
}
