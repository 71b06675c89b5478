// Requests to the function, and their errors.

import type { Config } from "./config";

/** Return the headers that authenticate a POST with these lower-case headers and this body. */
export type Prove = (
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

export interface Api {
  grants(): Promise<Grants>;
  create(body: string, idempotencyKey: string): Promise<Issued>;
}

export function connect(config: Config, prove: Prove): Api {
  const post = async (path: string, body: string, extra: Record<string, string> = {}): Promise<unknown> => {
    const url = new URL(path, config.api || location.origin);
    const headers = { "content-type": "application/json", ...extra };
    const proof = await prove(url, headers, body);
    let answer: Response;
    let parsed: unknown;
    try {
      answer = await fetch(url, {
        method: "POST",
        headers: { ...headers, ...proof },
        body,
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
    grants: async () => (await post("/v1/grants", "{}")) as Grants,
    create: async (body, key) => (await post("/v1/key-pairs", body, { "idempotency-key": key })) as Issued,
  };
}
