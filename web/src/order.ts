// The form. It offers only what the policy grants.

import type { Grant, Grants } from "./api";
import { find, input, make, select } from "./dom";
import { mark, unmark } from "./fields";
import { type Key, type Values, write } from "./texts";

const DURATIONS = ["1h", "8h", "1d", "7d", "30d", "90d", "365d"];
type Unit = "minutes" | "hours" | "days";
const UNITS: Record<string, [number, Unit]> = { m: [60, "minutes"], h: [3600, "hours"], d: [86400, "days"] };

/** What the form asks for. Equal JSON means the same request. */
export interface Order {
  keyName: string;
  region: string;
  projectId: number;
  privateKeyFormat: string;
  tags: Record<string, string>;
  expiresIn?: string;
  /** A pasted recipient. Without it the page uses its own key if the grant allows that. */
  recipients?: string[];
}

let grants: Grant[] = [];
let shown: Grant | undefined;

/** Offer these grants, and keep entries that are still possible. */
export function offer({ grants: offered, defaultRegion }: Grants): void {
  const chosen = select("grant").value;
  grants = offered;
  find("grant-field").hidden = grants.length < 2;
  texts(
    select("grant"),
    grants.map(({ names, regions }, index) => [
      String(index),
      names.includes("*") ? "grantAny" : "grantNamed",
      { names: names.join(", "), regions: regions.join(", ") },
    ]),
    chosen,
  );
  showGrant(defaultRegion);
  select("grant").onchange = () => showGrant(defaultRegion);
  input("recipient").oninput = showRecipient;
}

/** Whether the selected grant lets a request name the page's own key. */
export function ownRecipients(): boolean {
  return shown?.ownRecipients ?? false;
}

function showGrant(defaultRegion: string): void {
  const grant = grants[Number(select("grant").value)];
  if (!grant) return;
  shown = grant;
  if (grant.names.includes("*")) write(find("name-hint"), "nameAny");
  else write(find("name-hint"), "nameHint", { names: grant.names.join(", ") });

  const region = select("region").value || defaultRegion;
  options(select("region"), grant.regions.map((name) => [name, name]), region);
  find("project-field").hidden = grant.projects.length < 2;
  options(select("project"), grant.projects.map((id) => [String(id), String(id)]), select("project").value);
  offerExpiry(grant.longestExpiry);
  offerTags(grant);
  find("recipient-field").hidden = !grant.ownRecipients;
  showRecipient();
}

function showRecipient(): void {
  const own = input("recipient").value.trim() ? "sealedPasted" : "sealedHere";
  write(find("sealed-to"), ownRecipients() ? own : "sealedRegistered");
}

function options(element: HTMLSelectElement, entries: [string, string][], chosen: string): void {
  element.replaceChildren(
    ...entries.map(([value, text]) => {
      const option = make("option", { value });
      option.textContent = text;
      return option;
    }),
  );
  if (entries.some(([value]) => value === chosen)) element.value = chosen;
}

/** Set options that follow the language. */
function texts(element: HTMLSelectElement, entries: [string, Key, Values][], chosen: string): void {
  options(element, entries.map(([value]) => [value, value]), chosen);
  entries.forEach(([, key, values], index) => {
    const option = element.options[index];
    if (option) write(option, key, values);
  });
}

function offerExpiry(longest: string | null): void {
  const before = select("expiry").value;
  const limit = longest === null ? Number.POSITIVE_INFINITY : seconds(longest);
  // The empty value means the policy's default.
  const entries: [string, Key, Values][] = [
    longest === null ? ["", "expiryNever", {}] : ["", `${unit(longest)[1]}Longest`, { n: amount(longest) }],
  ];
  for (const duration of DURATIONS) {
    const [, key] = unit(duration);
    if (seconds(duration) < limit) entries.push([duration, key, { n: amount(duration) }]);
  }
  texts(select("expiry"), entries, before);
}

function amount(duration: string): number {
  return Number.parseInt(duration, 10);
}

function unit(duration: string): [number, Unit] {
  return UNITS[duration.slice(-1)] ?? [1, "minutes"];
}

function seconds(duration: string): number {
  return amount(duration) * unit(duration)[0];
}

function offerTags(grant: Grant): void {
  const before = tags();
  const asked = [
    ...Object.keys(grant.requiredTags).map((key) => [key, true] as const),
    ...Object.keys(grant.optionalTags)
      .filter((key) => !(key in grant.requiredTags))
      .map((key) => [key, false] as const),
  ].filter(([key]) => !(key in grant.forcedTags));
  find("tags").hidden = asked.length === 0;
  find("tag-fields").replaceChildren(
    ...asked.flatMap(([key, required], index) => {
      const id = `tag-${index}`;
      const label = make("label", { for: id });
      if (required) label.textContent = key;
      else write(label, "optional", { key });
      const field = make("input", { id, "data-tag": key, autocomplete: "off", "aria-describedby": `${id}-error` });
      const pattern = grant.requiredTags[key] ?? "";
      field.value = before[key] ?? (/[*?]/.test(pattern) ? "" : pattern);
      const error = make("p", { id: `${id}-error`, class: "error", hidden: "" });
      return [label, field, error];
    }),
  );
}

function tagFields(): HTMLInputElement[] {
  return [...find("tag-fields").querySelectorAll<HTMLInputElement>("[data-tag]")];
}

function tags(): Record<string, string> {
  return Object.fromEntries(
    tagFields()
      .filter(({ value }) => value.trim())
      .map((field) => [field.dataset["tag"] ?? "", field.value.trim()]),
  );
}

/** Return the order, or null after marking the fields to correct. */
export function read(): Order | null {
  const name = input("name").value.trim();
  const names = shown?.names ?? [];
  let wrong: HTMLElement | null = null;
  const judge = (field: HTMLInputElement, right: boolean, key: Key, values: Values = {}): void => {
    if (right) unmark(field);
    else {
      mark(field, key, values);
      wrong ??= field;
    }
  };
  if (!/^[A-Za-z0-9_]{1,25}$/.test(name)) judge(input("name"), false, "nameWrong");
  else {
    const granted = names.some((pattern) => matches(name, pattern));
    judge(input("name"), granted, "nameNotGranted", { names: names.join(", ") });
  }
  for (const field of tagFields()) {
    const key = field.dataset["tag"] ?? "";
    const value = field.value.trim();
    const required = shown?.requiredTags[key];
    const pattern = required ?? shown?.optionalTags[key] ?? "*";
    const right = value ? matches(value, pattern) : required === undefined;
    judge(field, right, "tagWrong", { key, pattern });
  }
  if (wrong) {
    (wrong as HTMLElement).focus();
    return null;
  }
  const pasted = input("recipient").value.trim();
  return {
    keyName: name,
    region: select("region").value,
    projectId: Number(select("project").value),
    privateKeyFormat: select("format").value,
    tags: tags(),
    ...(select("expiry").value ? { expiresIn: select("expiry").value } : {}),
    ...(pasted && ownRecipients() ? { recipients: [pasted] } : {}),
  };
}

/** Patterns as in the policy: `*` matches any characters, `?` exactly one. */
function matches(text: string, pattern: string): boolean {
  const escaped = pattern.replace(/[\\^$.|+()[\]{}]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\*/g, ".*").replace(/\?/g, ".")}$`, "su").test(text);
}

