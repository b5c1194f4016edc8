// Reads one JSON object a line from standard input: which library is to verify,
// with which key, and a request, its body in base64. Answers each with one line:
// ok, or why not. None of the libraries shares code with ours.
import { createInterface } from "node:readline";
import { createHash, createHmac, createPublicKey, timingSafeEqual, verify as verifySignature } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { verify as octokitVerify } from "@octokit/webhooks-methods";
import httpsig from "http-message-signatures";

const jwk = (key) => createPublicKey({ key, format: "jwk" });

// Every signature of the request whose key is known has to verify, and there has
// to be one.
async function message({ method, url, headers, body }, keys) {
  const digest = "sha-256=:" + createHash("sha256").update(body).digest("base64") + ":";
  if (headers["content-digest"] !== digest) throw new Error("another digest");
  const keyLookup = async ({ keyid }) => keys(keyid);
  const fields = ["@method", "@target-uri", "content-type", "content-digest", "webhook-id"];
  const ok = await httpsig.httpbis.verifyMessage(
    { keyLookup, requiredFields: fields, requiredParams: ["created", "keyid", "alg"], maxAge: 300, tolerance: 5 },
    { method, url, headers },
  );
  if (!ok) throw new Error("no signature verifies");
}

const libraries = {
  standardwebhooks: ({ key, headers, body }) => new Webhook(key).verify(body, headers),
  svix: ({ key, headers, body }) => new SvixWebhook(key).verify(body, headers),
  octokit: async ({ key, headers, body }) => {
    if (!(await octokitVerify(key, body.toString("utf8"), headers["x-hub-signature-256"]))) throw new Error("no signature verifies");
  },
  // A receiver that reads the specification: Node's OpenSSL with the published key.
  v1a: ({ key, headers, body }) => {
    const content = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
    const good = headers["webhook-signature"].split(" ").some((entry) => {
      const [version, signature] = entry.split(",");
      return version === "v1a" && verifySignature(null, content, jwk(key), Buffer.from(signature, "base64"));
    });
    if (!good) throw new Error("no signature verifies");
  },
  "rfc9421-hmac": (request) =>
    message(request, () => ({
      algs: ["hmac-sha256"],
      verify: async (base, signature, { alg }) => {
        const want = createHmac("sha256", Buffer.from(request.key.replace("whsec_", ""), "base64")).update(base).digest();
        return alg === "hmac-sha256" && signature.length === want.length && timingSafeEqual(signature, want);
      },
    })),
  "rfc9421-ed25519": (request) =>
    message(request, (keyid) =>
      keyid === request.key.kid
        ? { algs: ["ed25519"], verify: async (base, signature) => verifySignature(null, base, jwk(request.key), signature) }
        : null,
    ),
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  request.body = Buffer.from(request.body, "base64");
  try {
    await libraries[request.library](request);
    console.log("ok");
  } catch (err) {
    console.log(String(err.message ?? err).split("\n")[0]);
  }
}
