// What the page has to know: `web.json` beside it. `handler/web/page.py` writes it, or whoever hosts the
// page elsewhere.

export interface SignIn {
  issuer: string;
  clientId: string;
  audience: string;
}

export interface Config {
  /** Where the function is: an origin, or "" for the page's own. */
  api: string;
  /** The region that is meant where a request names none. */
  region: string;
  /** Where people sign in; null where they type an id and a secret. */
  signIn: SignIn | null;
}

export async function loadConfig(): Promise<Config> {
  const answer = await fetch("web.json", { cache: "no-store" });
  if (!answer.ok) throw new Error(`web.json: ${answer.status}`);
  return (await answer.json()) as Config;
}
