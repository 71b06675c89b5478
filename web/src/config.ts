// The page's configuration: `web.json` beside it, written by `handler/web/page.py` or by whoever hosts the
// page elsewhere.

export interface SignIn {
  issuer: string;
  clientId: string;
  audience: string;
}

export interface Config {
  /** Where the function is: an origin, or "" for the page's own. */
  api: string;
  /** The default region of requests. */
  region: string;
  /** Where people sign in; null if they type an ID and a secret. */
  signIn: SignIn | null;
  /** Whether the function can seal to PGP keys. A page that is hosted elsewhere may not say. */
  openpgp?: boolean;
}

export async function loadConfig(): Promise<Config> {
  const answer = await fetch("web.json", { cache: "no-store" });
  if (!answer.ok) throw new Error(`web.json: ${answer.status}`);
  return (await answer.json()) as Config;
}
