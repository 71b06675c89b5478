// TC3-HMAC-SHA256, the signing side: https://cloud.tencent.com/document/api/213/30654
//
// The secret goes into a WebCrypto key that cannot be exported, and never into a request.

import type { Prove } from "./api";

const SCHEME = "TC3-HMAC-SHA256";
const SERVICE = "cvm";
const HMAC = { name: "HMAC", hash: "SHA-256" };

const encoder = new TextEncoder();

function hex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function digest(text: string): Promise<string> {
  return hex(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
}

function importKey(raw: BufferSource): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", raw, HMAC, false, ["sign"]);
}

function mac(key: CryptoKey, text: string): Promise<ArrayBuffer> {
  return crypto.subtle.sign(HMAC, key, encoder.encode(text));
}

/** Return a function that signs a caller's requests. */
export async function signer(id: string, secret: string): Promise<Prove> {
  const root = await importKey(encoder.encode(`TC3${secret}`));

  return async (method, url, headers, body) => {
    const timestamp = Math.floor(Date.now() / 1000);
    const date = new Date(timestamp * 1000).toISOString().slice(0, 10);
    const signed: Record<string, string> = { ...headers, host: url.host };
    const names = Object.keys(signed).sort();
    const canonical = [
      method,
      url.pathname,
      url.search.slice(1),
      ...names.map((name) => `${name}:${signed[name]?.trim().toLowerCase()}`),
      "",
      names.join(";"),
      await digest(body),
    ].join("\n");

    const scope = `${date}/${SERVICE}/tc3_request`;
    const text = `${SCHEME}\n${timestamp}\n${scope}\n${await digest(canonical)}`;
    let key = root;
    for (const part of [date, SERVICE, "tc3_request"]) key = await importKey(await mac(key, part));
    const signature = hex(await mac(key, text));
    return {
      "x-tc-timestamp": String(timestamp),
      authorization: `${SCHEME} Credential=${id}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`,
    };
  };
}
