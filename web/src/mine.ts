// "My key pairs": lists what the caller has, and deletes one after a question.

import type { Api, Grants, KeyPair } from "./api";
import { find, make } from "./dom";
import { hide } from "./trouble";
import { clear, type Key, type Values, write } from "./texts";

/** Changes when the list is opened or forgotten: answers to earlier requests are then dropped. */
let visit = 0;

/** Fetch the list and show it. `fail` explains an error; its function repeats the request. */
export function showMine(api: Api, grants: Grants, fail: (error: unknown, again: () => void) => void): void {
  forgetMine();
  const own = visit;
  let pairs: KeyPair[] = [];

  const run = async <T>(request: () => Promise<T>, use: (answer: T) => void): Promise<void> => {
    hide();
    write(find("mine-progress"), "moment");
    try {
      const answer = await request();
      if (visit === own) use(answer);
    } catch (error) {
      if (visit === own) fail(error, () => void run(request, use));
    } finally {
      if (visit === own) clear(find("mine-progress"));
    }
  };

  const render = (): void => {
    const soon = pairs.filter(({ expiresSoon }) => expiresSoon).map(({ keyName }) => keyName);
    find("soon").hidden = soon.length === 0;
    write(find("soon"), "soon", { names: soon.join(", ") });
    find("none").hidden = pairs.length > 0;
    find("pairs").replaceChildren(...pairs.map(item));
  };

  const item = (pair: KeyPair): HTMLElement => {
    const { keyId, keyName, region, createdAt, expiresAt, instanceIds } = pair;
    const name = make("h3", { id: keyId });
    name.textContent = keyName;
    const facts = make("p", { class: "hint" });
    facts.append(text("inRegion", { region }));
    if (createdAt !== null) facts.append(text("made", { day: createdAt }));
    facts.append(expiresAt === null ? text("endsNever") : text("ends", { time: expiresAt }));
    const instances = instanceIds.join(", ");
    facts.append(text(instances ? "inUse" : "notInUse", { instances }));
    const about = make("div");
    about.append(name, facts);
    const row = make("li");
    row.append(about);
    if (grants.actions.includes("delete")) {
      const id = `delete-${keyId}`;
      const opener = make("button", { type: "button", id, "aria-labelledby": `${id} ${keyId}` });
      write(opener, "delete");
      opener.onclick = () => ask(keyName, () => void remove(pair));
      row.append(opener);
    }
    return row;
  };

  const remove = (pair: KeyPair): Promise<void> =>
    run(
      () => api.remove(pair),
      () => {
        pairs = pairs.filter((one) => one !== pair);
        render();
        write(find("said"), "deleted", { name: pair.keyName });
        find("mine-title").focus();
      },
    );

  void run(
    () => api.list(grants.caller, grants.listRegions),
    (found) => {
      pairs = found;
      render();
    },
  );
}

/** Empty the list. */
export function forgetMine(): void {
  visit += 1;
  find("soon").hidden = find("none").hidden = true;
  clear(find("mine-progress"));
  find("pairs").replaceChildren();
}

function text(key: Key, values: Values = {}): HTMLElement {
  const element = make("span");
  write(element, key, values);
  return element;
}

/** Ask whether to delete a key pair. Escape means no. */
function ask(name: string, yes: () => void): void {
  const question = find<HTMLDialogElement>("question");
  write(find("question-title"), "deleteQuestion", { name });
  question.returnValue = "";
  question.onclose = () => {
    if (question.returnValue) yes();
  };
  question.showModal();
}
