// Verifies what `tocsin listen --out FILE` recorded, with the standardwebhooks
// package, which shares no code with Tocsin.
//
//   TOCSIN_SECRET=whsec_… node verify.mjs FILE
//
// Exits with 0 when there is a message and every message verifies, 1 when one
// does not, 2 when it was called wrongly.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const [file] = process.argv.slice(2);
const secret = process.env.TOCSIN_SECRET;
if (!file || !secret) {
  console.error("usage: TOCSIN_SECRET=whsec_… node verify.mjs FILE");
  process.exit(2);
}

const webhook = new Webhook(secret);
let verified = 0;
let failed = 0;
for (const [i, line] of readFileSync(file, "utf8").split("\n").entries()) {
  if (line === "") continue;
  try {
    const { raw, headers } = JSON.parse(line);
    // The bytes as they came: a body that was parsed and written again is another body.
    webhook.verify(Buffer.from(raw, "base64").toString("utf8"), headers);
    verified++;
  } catch (err) {
    failed++;
    console.error(`${file}:${i + 1}: ${err.message}`);
  }
}
console.log(`${verified} verified, ${failed} failed`);
process.exitCode = failed === 0 && verified > 0 ? 0 : 1;
