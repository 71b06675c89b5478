import { compactDecrypt, generalDecrypt, importPKCS8 } from "jose";

export async function open({ jwk, pem, envelope }) {
  const key = pem === undefined ? jwk : await importPKCS8(pem, "ECDH-ES");
  const { plaintext } = envelope.startsWith("{")
    ? await generalDecrypt(JSON.parse(envelope), key)
    : await compactDecrypt(envelope, key);
  return plaintext;
}
