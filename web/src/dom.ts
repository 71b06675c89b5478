// The elements of index.html, by id.

export function find<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no #${id}`);
  return element as T;
}

export const button = (id: string) => find<HTMLButtonElement>(id);
export const input = (id: string) => find<HTMLInputElement>(id);
export const select = (id: string) => find<HTMLSelectElement>(id);

export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string> = {},
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return element;
}

/** Save a text as a file, and free the browser's copy at once. */
export function save(text: string, file: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  make("a", { href: address, download: file }).click();
  URL.revokeObjectURL(address);
}
