// The result: the opened private key, or the envelope for another recipient.

import type { Issued } from "./api";
import { button, find, input, save, select } from "./dom";
import { write } from "./texts";

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
  else write(find("expires"), "at", { time: issued.expiresAt });
  const keyFile = `${name}.${opened?.startsWith("PuTTY-User-Key-File-") ? "ppk" : "pem"}`;
  showCommands(keyFile);
  for (const id of ["user", "own-user"]) find(id).oninput = () => showCommands(keyFile);
  write(find("warning"), "saveNow");
  const keptSafe = () => {
    write(find("warning"), "savedNow");
    onSaved();
  };
  button("save").onclick = () => {
    if (privateKey === null) return;
    save(privateKey, keyFile);
    write(find("said"), "saved", { file: keyFile });
    keptSafe();
  };
  button("copy-private").onclick = async () => {
    if (privateKey !== null && (await copy(privateKey))) keptSafe();
  };
  find<HTMLDetailsElement>("reveal").ontoggle = () => {
    const { open } = find<HTMLDetailsElement>("reveal");
    find("private").textContent = open ? privateKey : "";
    write(find("reveal-summary"), open ? "hidePrivate" : "showPrivate");
  };

  const file = `${name}.${SUFFIXES[sealed.format]}`;
  find("envelope").textContent = opened === null ? sealed.ciphertext : "";
  find("open-with").textContent = sealed.openWith;
  write(button("save-envelope"), "saveEnvelope", { file });
  button("save-envelope").onclick = () => {
    save(sealed.ciphertext, file);
    write(find("said"), "saved", { file });
  };
  for (const id of ["envelope", "open-with", "ssh", "powershell", "public"])
    button(`copy-${id}`).onclick = () => copy(find(id).textContent ?? "");
}

function showCommands(keyFile: string): void {
  find("own-user-field").hidden = select("user").value !== "";
  const own = input("own-user").value.trim();
  // It becomes part of a command line: nothing but what a user name may hold (useradd(8)).
  const user = select("user").value || (/^[A-Za-z0-9_.][A-Za-z0-9_.-]*$/.test(own) ? own : "USER");
  if (keyFile.endsWith(".ppk")) {
    for (const id of ["ssh", "powershell"]) find(id).textContent = `plink -i ${keyFile} ${user}@HOST`;
    return;
  }
  const ssh = `ssh -i ${keyFile} ${user}@HOST`;
  // Files that a browser saves may be readable to other users, and ssh refuses such a key.
  find("ssh").textContent = `chmod 600 ${keyFile}\n${ssh}`;
  find("powershell").textContent = `icacls ${keyFile} /inheritance:r /grant:r "$($env:USERNAME):R"\n${ssh}`;
}

/** Drop the private key. */
export function forget(): void {
  privateKey = null;
  find<HTMLDetailsElement>("reveal").open = false;
  for (const id of ["private", "envelope", "open-with", "ssh", "powershell", "public"]) find(id).textContent = "";
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
