// Sign-in by authorization code with PKCE (RFC 7636, RFC 9700 section 2.1.1), in a window of its own.
//
// Why a window and not a redirect: this page holds the key that a sealed answer is for. Signing in again
// after a token has run out must not take that away. And nothing of the attempt is put into any storage:
// verifier, state and nonce stay in the memory of the page that asked.
//
// The page has the COOP `same-origin`, so the window has no opener to talk to. It tells what the issuer said
// over a BroadcastChannel, which reaches pages of this origin only.

import * as oauth from "oauth4webapi";
import type { Prove } from "./api";
import type { SignIn } from "./config";

const CHANNEL = "signed-in";
const PARAMETERS = ["code", "state", "error", "error_description", "iss", "session_state"];

export type Trouble = "blocked" | "issuer" | "audience" | "denied";

/** Nobody signed in. */
export class NotSignedIn extends Error {
  constructor(readonly trouble: Trouble) {
    super(trouble);
  }
}

/** In the window that comes back from the issuer: hand over what it said, and tell whether this is one. */
export function handOver(): boolean {
  const parameters = new URLSearchParams(location.search);
  if (!parameters.has("state")) return false;
  history.replaceState(null, "", location.pathname);
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }) => {
    if (data === parameters.get("state")) window.close();
  };
  channel.postMessage(parameters.toString());
  return true;
}

/** What signing in needs, made ready, for a window opens only at once when somebody clicks. */
export interface Attempt {
  finish(): Promise<Prove>;
}

export async function prepare(signIn: SignIn): Promise<Attempt> {
  const issuer = new URL(signIn.issuer);
  // Only this machine's own issuers go by plain HTTP; the policy allows no others, the browser neither.
  const options = { [oauth.allowInsecureRequests]: issuer.protocol === "http:" };
  const client: oauth.Client = { client_id: signIn.clientId };
  const redirectUri = location.origin + location.pathname;
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const nonce = oauth.generateRandomNonce();

  let server: oauth.AuthorizationServer;
  try {
    server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
  } catch {
    throw new NotSignedIn("issuer");
  }
  if (!server.authorization_endpoint) throw new NotSignedIn("issuer");
  const address = new URL(server.authorization_endpoint);
  for (const [name, value] of Object.entries({
    client_id: client.client_id,
    redirect_uri: redirectUri,
    response_type: "code",
    scope: "openid profile email",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
  }))
    address.searchParams.set(name, value);

  const exchange = async (said: URLSearchParams): Promise<Prove> => {
    let tokens: oauth.TokenEndpointResponse;
    try {
      const parameters = oauth.validateAuthResponse(server, client, said, state);
      const answer = await oauth.authorizationCodeGrantRequest(
        server,
        client,
        oauth.None(),
        parameters,
        redirectUri,
        verifier,
        options,
      );
      tokens = await oauth.processAuthorizationCodeResponse(server, client, answer, {
        expectedNonce: nonce,
        requireIdToken: true,
      });
    } catch (error) {
      throw new NotSignedIn(error instanceof oauth.AuthorizationResponseError ? "denied" : "issuer");
    }
    const token = [tokens.access_token, tokens.id_token].find((one) => one && isFor(one, signIn.audience));
    if (!token) throw new NotSignedIn("audience");
    return async () => ({ authorization: `Bearer ${token}` });
  };

  return { finish: async () => exchange(await inWindow(address, state)) };
}

/** Open a window at the issuer and return what it says at the end. */
function inWindow(address: URL, state: string): Promise<URLSearchParams> {
  return new Promise((resolve, reject) => {
    const channel = new BroadcastChannel(CHANNEL);
    channel.onmessage = ({ data }) => {
      const said = new URLSearchParams(String(data));
      // Another page of this origin may be signing in as well.
      if (said.get("state") !== state) return;
      channel.postMessage(state);
      channel.close();
      for (const name of [...said.keys()]) if (!PARAMETERS.includes(name)) said.delete(name);
      resolve(said);
    };
    if (!window.open(address, "_blank", "popup,width=520,height=680")) {
      channel.close();
      reject(new NotSignedIn("blocked"));
    }
  });
}

/** Whether a token is a JWT for this function alone. Only to choose: the function verifies it. */
function isFor(token: string, audience: string): boolean {
  try {
    const payload = token.split(".")[1] ?? "";
    const { aud } = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/"))) as { aud?: unknown };
    return aud === audience || (Array.isArray(aud) && aud.length === 1 && aud[0] === audience);
  } catch {
    return false;
  }
}
