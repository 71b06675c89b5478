// The browser's own key pair, and envelopes sealed to it.

import { type JWK, calculateJwkThumbprint, compactDecrypt, generalDecrypt } from "jose";
import type { Issued } from "./api";

/** A key pair that lives as long as the page. Nobody can export its private half, not even the page. */
export interface Recipient {
  publicJwk: string;
  open(issued: Issued): Promise<string>;
}

/** The envelope cannot be opened, or it belongs to another key pair. */
export class NotOurs extends Error {}

export async function makeRecipient(): Promise<Recipient> {
  const pair = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, false, ["deriveBits"]);
  const { kty, crv, x, y } = (await crypto.subtle.exportKey("jwk", pair.publicKey)) as Record<string, string>;
  const jwk = { kty, crv, x, y } as JWK;
  const kid = await calculateJwkThumbprint(jwk);
  return {
    publicJwk: JSON.stringify({ ...jwk, use: "enc", kid }),
    open: async (issued) => open(issued, pair.privateKey),
  };
}

async function open(issued: Issued, key: CryptoKey): Promise<string> {
  const envelope = issued.sealedPrivateKey.ciphertext;
  const options = { contentEncryptionAlgorithms: ["A256GCM"] };
  try {
    // If the policy adds recipients, it is the JSON serialization (RFC 7516 section 7.2.1).
    const { plaintext, protectedHeader } = envelope.startsWith("{")
      ? await generalDecrypt(JSON.parse(envelope), key, options)
      : await compactDecrypt(envelope, key, options);
    if (protectedHeader?.["fingerprint"] !== issued.fingerprint) throw new NotOurs();
    const text = new TextDecoder().decode(plaintext);
    plaintext.fill(0);
    return text;
  } catch {
    throw new NotOurs();
  }
}
