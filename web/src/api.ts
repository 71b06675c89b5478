// Requests to the function, and their errors.

import type { Config } from "./config";

/** Return the headers that authenticate a request with these lower-case headers and this body. */
export type Prove = (
  method: string,
  url: URL,
  headers: Record<string, string>,
  body: string,
) => Promise<Record<string, string>>;

export interface Grant {
  names: string[];
  projects: number[];
  regions: string[];
  forcedTags: Record<string, string>;
  requiredTags: Record<string, string>;
  optionalTags: Record<string, string>;
  longestExpiry: string | null;
  ownRecipients: boolean;
}

export interface Grants {
  caller: string;
  defaultRegion: string;
  registeredRecipients: number;
  grants: Grant[];
  /** What any of the caller's grants allows: create, list, delete, import. */
  actions: string[];
  listRegions: string[];
}

/** A key pair that the caller has. */
export interface KeyPair {
  keyId: string;
  keyName: string;
  region: string;
  createdAt: string | null;
  expiresAt: string | null;
  expiresSoon: boolean;
  instanceIds: string[];
}

export interface Issued {
  keyId: string;
  keyName: string;
  region: string;
  publicKey: string;
  fingerprint: string;
  expiresAt: string | null;
  sealedPrivateKey: {
    format: "age" | "jwe" | "cms" | "openpgp";
    recipients: string[];
    ciphertext: string;
    openWith: string;
  };
}

/** A field of the request at fault, and what to send instead, in two languages, if the function says so. */
export interface FieldProblem {
  field: string;
  rule: string;
  advice?: string;
  adviceZh?: string;
}

interface Problem {
  code?: string;
  requestId?: string;
  errors?: FieldProblem[];
}

/** An error response from the function. Status 0 means that there was no response. */
export class Refusal extends Error {
  readonly code: string;
  readonly requestId: string;
  readonly problems: FieldProblem[];

  constructor(
    readonly status: number,
    problem: Problem,
    readonly retryAfter: number | null,
  ) {
    super(`${status} ${problem.code ?? ""}`);
    this.code = problem.code ?? "";
    this.requestId = problem.requestId ?? "";
    this.problems = problem.errors ?? [];
  }
}

const KEY_PAIRS = "/v1/key-pairs";

export interface Api {
  grants(): Promise<Grants>;
  create(body: string, idempotencyKey: string): Promise<Issued>;
  /** Return the key pairs of a caller in these regions, by name. */
  list(caller: string, regions: string[]): Promise<KeyPair[]>;
  remove(pair: KeyPair): Promise<void>;
}

export function connect(config: Config, prove: Prove): Api {
  const send = async (
    method: string,
    path: string,
    body = "",
    extra: Record<string, string> = {},
  ): Promise<unknown> => {
    const url = new URL(path, config.api || location.origin);
    const headers: Record<string, string> = body ? { "content-type": "application/json", ...extra } : {};
    const proof = await prove(method, url, headers, body);
    let answer: Response;
    let parsed: unknown;
    try {
      answer = await fetch(url, {
        method,
        headers: { ...headers, ...proof },
        body: body || null,
        // No cookies, and no credentials follow a redirect to another place.
        credentials: "omit",
        redirect: "error",
        cache: "no-store",
      });
      parsed = JSON.parse((await answer.text()) || "{}");
    } catch {
      throw new Refusal(0, {}, null);
    }
    if (!answer.ok) {
      const wait = Number(answer.headers.get("retry-after") ?? Number.NaN);
      throw new Refusal(answer.status, parsed as Problem, Number.isFinite(wait) ? wait : null);
    }
    return parsed;
  };
  return {
    grants: async () => (await send("POST", "/v1/grants", "{}")) as Grants,
    create: async (body, key) => (await send("POST", KEY_PAIRS, body, { "idempotency-key": key })) as Issued,
    list: async (caller, regions) => {
      // The cloud may list a key pair in every region of the account.
      const found = new Map<string, KeyPair>();
      for (const region of regions) {
        let after: string | null = "";
        do {
          // TC3 signs the parameters in the order of their names. Ids, names and regions need no encoding.
          const query: string = `${after && `after=${after}&`}caller=${caller}&region=${region}`;
          const page = (await send("GET", `${KEY_PAIRS}?${query}`)) as { keyPairs: KeyPair[]; next: string | null };
          for (const pair of page.keyPairs) found.set(pair.keyId, pair);
          after = page.next;
        } while (after);
      }
      return [...found.values()].sort((one, other) => (one.keyName < other.keyName ? -1 : 1));
    },
    remove: async ({ keyId, region }) => {
      await send("DELETE", `${KEY_PAIRS}/${keyId}?region=${region}`);
    },
  };
}
