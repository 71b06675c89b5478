// Answers lines of JSON: a request names a module here and what it takes; the answer holds the plain text,
// or that it would not open. One process for hundreds of envelopes.
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";

// Node 18, which Debian 12 has, does not name it.
globalThis.crypto ??= webcrypto;

for await (const line of createInterface({ input: process.stdin })) {
  const { format, ...request } = JSON.parse(line);
  const { open } = await import(`./${format}.mjs`);
  let answer;
  try {
    const plaintext = await open(request);
    answer = { plaintext: Buffer.from(plaintext).toString("base64") };
  } catch (error) {
    answer = { refused: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
