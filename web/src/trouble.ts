// What to do when something went wrong.

import { type FieldProblem, Refusal } from "./api";
import { button, find, make } from "./dom";
import { fieldAt, labelOf, mark, unmarkAll } from "./fields";
import { NotSignedIn } from "./oidc";
import { NotOurs } from "./sealed";
import { clear, type Key, say, type Values, write } from "./texts";

const SIGN_IN: Record<NotSignedIn["trouble"], Key> = {
  blocked: "eBlocked",
  issuer: "eIssuer",
  audience: "eAudience",
  denied: "eDenied",
};

/** What to say, by the code or status of an error. */
export type Advice = Record<string, Key>;

const CREATING: Advice = {
  "request-in-flight": "eInFlight",
  0: "eNetwork",
  400: "e400",
  403: "e403",
  409: "eTaken",
  422: "e422",
  429: "e429",
  502: "e502",
  503: "e503",
  504: "e504",
};

/** For the list of key pairs. All its requests can be repeated. */
export const LISTING: Advice = {
  "key-pair-in-use": "eInUse",
  0: "eRepeat",
  403: "e403Mine",
  404: "eGone",
  409: "eRepeat",
  429: "e429",
  503: "eRepeat",
  504: "eRepeat",
};

/** Whether a key pair may exist despite the error, or may still appear. */
export function leavesDoubt(error: unknown): boolean {
  if (!(error instanceof Refusal)) return false;
  const { status, code } = error;
  // A response without a code comes not from the function but from something in front of it.
  return !code || status === 504 || code === "request-in-flight";
}

export function hide(): void {
  find("trouble").hidden = true;
  unmarkAll();
}

/** Say what is wrong with a field: beside it, or in the list if the page has no such field. */
function place({ field: path, advice, adviceZh = "" }: FieldProblem): void {
  const key = advice === undefined ? "valueRefused" : "asAdvised";
  const english = advice === undefined ? "" : `${advice.charAt(0).toUpperCase()}${advice.slice(1)}.`;
  const values = { english, chinese: adviceZh };
  const field = fieldAt(path);
  if (field) {
    mark(field, key, values);
    return;
  }
  const item = make("li");
  write(item, "atField", { field: labelOf(path), text: say(key, values) });
  find("trouble-list").append(item);
}

/** Say what to do about `error`. `again` repeats the same request, if that helps. */
export function explain(
  error: unknown,
  typed: boolean,
  again: (() => void) | null,
  advice: Advice = CREATING,
): void {
  const list = find("trouble-list");
  list.replaceChildren();
  find("trouble-wait").hidden = true;
  clear(find("trouble-id"));
  let repeats = false;
  if (error instanceof Refusal) {
    const { status, code } = error;
    repeats = [0, 429, 500, 503, 504].includes(status) || !code || code === "request-in-flight";
    let key = advice[code] ?? advice[status] ?? "eOther";
    if (status === 401) key = typed ? "e401Typed" : "e401Issuer";
    write(find("trouble-text"), key);
    for (const problem of error.problems) place(problem);
    if (code === "name-taken") mark(find("name"), "eTaken");
    find("trouble-wait").hidden = error.retryAfter === null;
    if (error.retryAfter !== null) write(find("trouble-wait"), "onceMore", { seconds: error.retryAfter });
    if (error.requestId) write(find("trouble-id"), "requestId", { id: error.requestId });
  } else if (error instanceof NotSignedIn) write(find("trouble-text"), SIGN_IN[error.trouble]);
  else if (error instanceof NotOurs) write(find("trouble-text"), "eNotOurs");
  else write(find("trouble-text"), "eOther");
  list.hidden = list.childElementCount === 0;
  button("again").hidden = !(repeats && again);
  button("again").onclick = again;
  appear();
}

export function tell(key: Key, values: Values = {}): void {
  write(find("trouble-text"), key, values);
  find("trouble-list").hidden = true;
  find("trouble-wait").hidden = true;
  clear(find("trouble-id"));
  button("again").hidden = true;
  appear();
}

function appear(): void {
  find("trouble").hidden = false;
  find("trouble").focus();
}
