import { decrypt, generateKey, readMessage, readPrivateKey } from "openpgp";

export async function open({ privateKey, envelope }) {
  const { data } = await decrypt({
    message: await readMessage({ armoredMessage: envelope }),
    decryptionKeys: await readPrivateKey({ armoredKey: privateKey }),
    format: "binary",
  });
  return data;
}

export async function makeKey(options) {
  const { privateKey, publicKey } = await generateKey({ userIDs: [{ name: "Owner" }], ...options });
  return { privateKey, publicKey };
}
