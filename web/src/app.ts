// The page: sign in, order, result. Its state is in memory only.

import { type Api, connect, type Grants, type Prove, Refusal } from "./api";
import { type Config, loadConfig } from "./config";
import { button, find, input } from "./dom";
import { forgetMine, showMine } from "./mine";
import { type Attempt as SignInAttempt, handOver, prepare } from "./oidc";
import { offer, type Order, ownRecipients, read } from "./order";
import { forget, show } from "./result";
import { makeRecipient, type Recipient } from "./sealed";
import { signer } from "./tc3";
import { clear, type Key, say, speak, write } from "./texts";
import { type Advice, explain, hide, leavesDoubt, LISTING, tell } from "./trouble";

/** One request, however often it is sent: the same bytes, idempotency key and recipient. */
interface Attempt {
  order: string;
  body: string;
  idempotencyKey: string;
  recipient: Recipient | null;
  /** Whether one of its tries may have created a key pair. */
  inDoubt: boolean;
}

let api: Api | null = null;
let granted: Grants | null = null;
let attempt: Attempt | null = null;
let working = false;

// ---------------------------------------------------------------- what would be lost with the page

/**
 * Remember the name of a key pair that may exist and is not saved yet. The history entry keeps it across a
 * reload, without storage. The name is not secret.
 */
function pending(name: string | null): void {
  history.replaceState(name === null ? null : { pending: name }, "");
}

function pendingName(): string | null {
  const state = history.state as { pending?: string } | null;
  return state?.pending ?? null;
}

window.addEventListener("beforeunload", (event) => {
  if (pendingName() !== null) event.preventDefault();
});

/** Whether nothing unsaved would be lost, or the reader agrees to lose it. Then nothing is pending. */
function mayLeave(question: Key): boolean {
  const name = pendingName();
  if (name !== null && !confirm(say(question, { name }))) return false;
  pending(null);
  return true;
}

// ---------------------------------------------------------------- sections

const SECTIONS = ["sign-in", "order", "mine", "result"] as const;
type Section = (typeof SECTIONS)[number];

function go(to: Section): void {
  for (const id of SECTIONS) find(id).hidden = id !== to;
  clear(find("said"));
}

function arrive(to: Section): void {
  go(to);
  find(`${to}-title`).focus();
}

// ---------------------------------------------------------------- sign-in

async function enter(config: Config, prove: Prove): Promise<void> {
  const entered = connect(config, prove);
  const grants = await entered.grants();
  const mayCreate = grants.grants.some((grant) => grant.ownRecipients || grants.registeredRecipients > 0);
  const mayList = grants.listRegions.length > 0;
  if (!mayCreate && !mayList) {
    tell("e403Grants");
    return;
  }
  api = entered;
  granted = grants;
  find("who").textContent = grants.caller;
  button("sign-out").hidden = false;
  button("to-order").hidden = !mayCreate;
  button("to-mine").hidden = !mayList;
  hide();
  if (mayCreate) {
    offer(grants);
    arrive("order");
  } else openMine(config);
}

function fail(config: Config, error: unknown, again: () => void, advice?: Advice): void {
  if (error instanceof Refusal && error.status === 401) go("sign-in");
  explain(error, config.signIn === null, again, advice);
}

function signInByTyping(config: Config): void {
  find("typed").hidden = false;
  find<HTMLFormElement>("typed").addEventListener("submit", async (event) => {
    event.preventDefault();
    const id = input("id").value.trim();
    const secret = input("secret").value.trim();
    if (!id || !secret) {
      input(id ? "secret" : "id").focus();
      return;
    }
    const prove = await signer(id, secret);
    input("secret").value = "";
    try {
      await enter(config, prove);
    } catch (error) {
      explain(error, true, null);
    }
  });
}

function signInAtIssuer(config: Config, signIn: NonNullable<Config["signIn"]>): void {
  find("at-issuer").hidden = false;
  let ready: SignInAttempt | null = null;
  const make = async () => {
    try {
      ready = await prepare(signIn);
    } catch (error) {
      explain(error, false, null);
    }
  };
  void make();
  button("sign-in-button").addEventListener("click", async () => {
    hide();
    try {
      // Do not wait if it is ready: some browsers block a window that opens after the click.
      const { finish } = ready ?? (await prepare(signIn));
      ready = null;
      const proving = finish();
      void make();
      await enter(config, await proving);
    } catch (error) {
      explain(error, false, null);
    }
  });
}

// ---------------------------------------------------------------- order

async function attemptFor(order: Order): Promise<Attempt> {
  const written = JSON.stringify(order);
  if (attempt?.order === written) return attempt;
  const recipient = !order.recipients && ownRecipients() ? await makeRecipient() : null;
  const body = JSON.stringify(recipient ? { ...order, recipients: [recipient.publicJwk] } : order);
  attempt = { order: written, body, idempotencyKey: crypto.randomUUID(), recipient, inDoubt: false };
  return attempt;
}

async function create(config: Config, order: Order): Promise<void> {
  const own = api;
  if (!own || working) return;
  working = true;
  hide();
  button("create").setAttribute("aria-disabled", "true");
  write(find("progress"), "creating");
  try {
    const current = await attemptFor(order);
    pending(order.keyName);
    const issued = await own.create(current.body, current.idempotencyKey);
    const opened = current.recipient ? await current.recipient.open(issued) : null;
    // Signed out meanwhile: whoever sits here now is not to see it.
    if (api !== own) return;
    // This also drops the key that opens the envelope.
    attempt = null;
    if (opened === null) pending(null);
    show(issued, opened, () => pending(null));
    arrive("result");
  } catch (error) {
    if (api !== own) return;
    if (attempt && leavesDoubt(error)) attempt.inDoubt = true;
    if (!attempt?.inDoubt) pending(null);
    fail(config, error, () => void create(config, order));
  } finally {
    if (api === own) endWork();
  }
}

function endWork(): void {
  working = false;
  button("create").removeAttribute("aria-disabled");
  clear(find("progress"));
}

// ---------------------------------------------------------------- my key pairs

function openMine(config: Config): void {
  if (!api || !granted || working) return;
  arrive("mine");
  showMine(api, granted, (error, again) => fail(config, error, again, LISTING));
}

// ---------------------------------------------------------------- start

function offerHelp(): void {
  const opener = button("help-button");
  opener.hidden = false;
  // Not a link to #help: that would be another history entry, without the name of what is pending.
  opener.addEventListener("click", () => {
    const help = find("help");
    help.hidden = !help.hidden;
    opener.setAttribute("aria-expanded", String(!help.hidden));
    if (!help.hidden) find("help-title").focus();
  });
}

async function start(): Promise<void> {
  speak(button("language"));
  offerHelp();
  if (handOver()) {
    tell("handedOver");
    return;
  }
  if (!globalThis.crypto?.subtle) {
    tell("eBrowser");
    return;
  }
  let config: Config;
  try {
    config = await loadConfig();
  } catch {
    tell("eConfig");
    return;
  }
  find<HTMLFormElement>("order-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const order = read();
    if (order) void create(config, order);
  });
  button("to-mine").addEventListener("click", () => openMine(config));
  button("to-order").addEventListener("click", () => {
    hide();
    arrive("order");
  });
  button("another").addEventListener("click", () => {
    if (!mayLeave("anotherUnsaved")) return;
    forget();
    input("name").value = "";
    arrive("order");
  });
  button("sign-out").addEventListener("click", () => {
    if (!mayLeave("signOutUnsaved")) return;
    forget();
    forgetMine();
    hide();
    api = granted = attempt = null;
    endWork();
    find("who").textContent = "";
    button("sign-out").hidden = true;
    input("name").value = input("recipient").value = "";
    arrive("sign-in");
  });
  write(find("recipient-hint"), config.openpgp === false ? "recipientHintNoPgp" : "recipientHint");
  go("sign-in");
  if (config.signIn) signInAtIssuer(config, config.signIn);
  else signInByTyping(config);
  const lost = pendingName();
  if (lost !== null) {
    tell("eReloaded", { name: lost });
    pending(null);
  }
}

void start();
