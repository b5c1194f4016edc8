// Publishes messages with mqtt.js, one after the other, each acknowledged before
// the next is sent.
//
//   node publish.mjs --url mqtt://127.0.0.1:1883 -t TOPIC [-q 0|1|2] [--protocol 4|5]
//     [-i CLIENT_ID] [--persistent] [-u USER] [-P PASSWORD] [PAYLOAD…]
//
// Without a PAYLOAD each line of standard input is one. Exits with 0 when all
// are acknowledged (sent, at QoS 0), 1 when not, 2 when it was called wrongly.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import mqtt from "mqtt";

let args;
try {
  args = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: "string" },
      topic: { type: "string", short: "t" },
      qos: { type: "string", short: "q", default: "1" },
      protocol: { type: "string", default: "4" },
      id: { type: "string", short: "i" },
      persistent: { type: "boolean", default: false },
      user: { type: "string", short: "u" },
      password: { type: "string", short: "P" },
    },
  });
} catch (err) {
  usage(err.message);
}
const { values: o, positionals } = args;
if (!o.url || !o.topic) usage("--url and -t are needed");
if (!/^[012]$/.test(o.qos)) usage(`-q ${o.qos}: 0, 1 or 2`);
if (!/^[45]$/.test(o.protocol)) usage(`--protocol ${o.protocol}: 4 (MQTT 3.1.1) or 5`);
if (o.persistent && !o.id) usage("--persistent needs -i");

function usage(fact) {
  console.error(`publish.mjs: ${fact}`);
  process.exit(2);
}

const protocolVersion = Number(o.protocol);
let client;
let count = 0;
try {
  client = await mqtt.connectAsync(o.url, {
    protocolVersion,
    clientId: o.id,
    clean: !o.persistent,
    properties: o.persistent && protocolVersion === 5 ? { sessionExpiryInterval: 3600 } : undefined,
    username: o.user,
    password: o.password,
    connectTimeout: 10_000,
    reconnectPeriod: 0, // an error is an error: the test decides what comes next
  });
  // Without a reconnect a lost connection would leave a publish waiting for ever.
  const lost = new Promise((_, reject) => client.once("close", () => reject(new Error("connection closed"))));
  lost.catch(() => {});
  const payloads = positionals.length > 0 ? positionals : createInterface({ input: process.stdin });
  for await (const payload of payloads) {
    await Promise.race([client.publishAsync(o.topic, payload, { qos: Number(o.qos) }), lost]);
    count++;
  }
  await client.endAsync();
} catch (err) {
  console.error(`publish.mjs: ${o.url}: ${err.message || err.code || err}`);
  client?.end(true);
  process.exitCode = 1;
}
console.log(`${count} ${o.qos === "0" ? "sent" : "acknowledged"}`);
