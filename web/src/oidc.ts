// Sign-in with authorization code and PKCE (RFC 7636, RFC 9700 section 2.1.1), in a separate window.
//
// Why a window and not a redirect: this page holds the key that an answer is sealed to, and signing in again
// after a token expires must not lose it. Verifier, state and nonce stay in the memory of this page; nothing
// is put into storage.
//
// With COOP `same-origin` the window has no opener to talk to. It passes on the issuer's response over a
// BroadcastChannel, which reaches only pages of this origin.

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

/** If this window comes back from the issuer, pass on its response and return true. */
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

/** Prepare a sign-in, so that a click can open the window at once. */
export interface Attempt {
  finish(): Promise<Prove>;
}

export async function prepare(signIn: SignIn): Promise<Attempt> {
  const issuer = new URL(signIn.issuer);
  // Plain HTTP only for issuers on this machine; neither the policy nor the browser allows others.
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

/** Open a window at the issuer and return its response. */
function inWindow(address: URL, state: string): Promise<URLSearchParams> {
  return new Promise((resolve, reject) => {
    const channel = new BroadcastChannel(CHANNEL);
    channel.onmessage = ({ data }) => {
      const said = new URLSearchParams(String(data));
      // Another page of this origin may be signing in too.
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

/** Whether a token is a JWT for this function only. This only selects one; the function verifies it. */
function isFor(token: string, audience: string): boolean {
  try {
    const payload = token.split(".")[1] ?? "";
    const { aud } = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/"))) as { aud?: unknown };
    return aud === audience || (Array.isArray(aud) && aud.length === 1 && aud[0] === audience);
  } catch {
    return false;
  }
}
