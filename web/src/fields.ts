// Errors beside the fields that they are about.

import { find, input } from "./dom";
import { clear, type Key, say, type Values, write } from "./texts";

/** The fields of a request: the element on the page, and what the page calls it. */
const FIELDS: Record<string, [string, Key]> = {
  keyName: ["name", "keyName"],
  region: ["region", "region"],
  expiresIn: ["expiry", "expiry"],
  projectId: ["project", "project"],
  privateKeyFormat: ["format", "format"],
  recipients: ["recipient", "recipientField"],
  tags: ["tags", "tags"],
};

/** Mark a field as wrong. */
export function mark(field: HTMLElement, key: Key, values: Values = {}): void {
  const error = find(`${field.id}-error`);
  write(error, key, values);
  error.hidden = false;
  field.setAttribute("aria-invalid", "true");
  const folded = field.closest("details");
  if (folded) folded.open = true;
}

export function unmark(field: HTMLElement): void {
  const error = find(`${field.id}-error`);
  clear(error);
  error.hidden = true;
  field.removeAttribute("aria-invalid");
}

/** Take all marks away. */
export function unmarkAll(): void {
  for (const field of document.querySelectorAll<HTMLElement>('[aria-invalid="true"]')) unmark(field);
}

/** Return the element for a path such as `recipients.0`; null if the reader typed nothing there. */
export function fieldAt(path: string): HTMLElement | null {
  const [first = "", ...rest] = path.split(".");
  if (first === "tags") {
    const key = rest.join(".");
    const fields = [...document.querySelectorAll<HTMLElement>("[data-tag]")];
    return fields.find(({ dataset }) => dataset["tag"] === key) ?? null;
  }
  const id = FIELDS[first]?.[0];
  // The page's own key is no field.
  if (id === undefined || (id === "recipient" && !input(id).value.trim())) return null;
  return find(id);
}

/** Return what the page calls the field of a path. */
export function labelOf(path: string): string {
  const key = FIELDS[path.split(".")[0] ?? ""]?.[1];
  return key === undefined ? path : say(key);
}
