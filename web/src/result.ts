// The result: the opened private key, or the envelope for another recipient.

import type { Issued } from "./api";
import { button, find, save } from "./dom";
import { clear, write } from "./texts";

const SUFFIXES = { age: "age", jwe: "jwe", cms: "cms", openpgp: "asc" };

/** The only reference to the private key. `forget` drops it; a page cannot wipe memory. */
let privateKey: string | null = null;

/** Show a key pair; `opened` is its private key, or null if this page cannot open it. */
export function show(issued: Issued, opened: string | null, onSaved: () => void): void {
  const name = issued.keyName;
  const sealed = issued.sealedPrivateKey;
  privateKey = opened;
  find("opened").hidden = opened === null;
  find("sealed").hidden = opened !== null;
  write(find("result-title"), "created", { name });
  find("public").textContent = issued.publicKey;
  find("fingerprint").textContent = issued.fingerprint;
  find("key-id").textContent = issued.keyId;
  find("in-region").textContent = issued.region;
  if (issued.expiresAt === null) write(find("expires"), "never");
  else {
    clear(find("expires"));
    find("expires").textContent = issued.expiresAt;
  }
  const putty = opened?.startsWith("PuTTY-User-Key-File-") ?? false;
  const keyFile = `${name}.${putty ? "ppk" : "pem"}`;
  // Files that a browser saves may be readable to other users, and ssh refuses such a key.
  find("ssh").textContent = putty
    ? `plink -i ${keyFile} root@HOST`
    : `chmod 600 ${keyFile}\nssh -i ${keyFile} root@HOST`;
  button("save").onclick = () => {
    if (privateKey === null) return;
    save(privateKey, keyFile);
    write(find("said"), "saved", { file: keyFile });
    onSaved();
  };
  button("copy-private").onclick = async () => {
    if (privateKey !== null && (await copy(privateKey))) onSaved();
  };
  find<HTMLDetailsElement>("reveal").ontoggle = () => {
    find("private").textContent = find<HTMLDetailsElement>("reveal").open ? privateKey : "";
  };

  const file = `${name}.${SUFFIXES[sealed.format]}`;
  find("envelope").textContent = opened === null ? sealed.ciphertext : "";
  find("open-with").textContent = sealed.openWith;
  write(button("save-envelope"), "saveEnvelope", { file });
  button("save-envelope").onclick = () => {
    save(sealed.ciphertext, file);
    write(find("said"), "saved", { file });
  };
  for (const id of ["envelope", "open-with", "ssh", "public"])
    button(`copy-${id}`).onclick = () => copy(find(id).textContent ?? "");
}

/** Drop the private key. */
export function forget(): void {
  privateKey = null;
  find<HTMLDetailsElement>("reveal").open = false;
  for (const id of ["private", "envelope", "open-with", "ssh", "public"]) find(id).textContent = "";
  clear(find("said"));
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    write(find("said"), "copied");
    return true;
  } catch {
    write(find("said"), "notCopied");
    return false;
  }
}
