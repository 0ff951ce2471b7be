// The JSON of /api/v1, as the page reads it, and the two ways of asking for it.

import { proof } from "./proof";

/** A sum, count or amount: digits, because it may exceed what a number holds exactly. */
export type Digits = string;
/** RFC 3339, UTC. */
export type Time = string;

export interface Answer {
  as_of?: Time;
}

export interface Overview extends Answer {
  server: {
    version: string;
    address: string;
    http: string;
    started: Time;
    uptime_secs: number;
    fingerprint: string | null;
    boot: string;
    state: "serving" | "draining" | "ledger_full" | "ledger_away" | "failed";
    classic: boolean;
    allow_any: boolean;
    suites: string[];
    idle_secs: number;
  };
  can_act: boolean;
  health: { level: "ok" | "warning" | "critical"; text: string };
  sessions: { open: number; unproven: number; classic: number; connections: number; max: number };
  rates: {
    values_per_sec: number;
    submissions_per_sec: number;
    batches_per_sec: number;
    handshakes_per_sec: number;
    connects_per_sec: number;
    refusals_per_sec: number;
    bytes_in_per_sec: number;
    bytes_out_per_sec: number;
  };
  commit: { p50_micros: number | null; p99_micros: number | null; queued_values: number };
  /** Older than the rest if the ledger does not answer. */
  totals: { as_of: Time; accounts: Digits; count: Digits; sum: Digits };
  refusals: Refusal[];
  history: {
    step_secs: number;
    values_per_sec: (number | null)[];
    sessions: (number | null)[];
    commit_p50_micros: (number | null)[];
    commit_p99_micros: (number | null)[];
  };
}

export interface Refusal {
  reason: string;
  count: number;
  last_minute: number;
}

export interface Session {
  id: number;
  profile: "v2" | "classic" | "undecided";
  suite: string | null;
  peer: string;
  state: "handshake" | "open" | "ending";
  name: string | null;
  fingerprint: string | null;
  account: string | null;
  operator: boolean;
  opened: Time;
  idle_deadline: Time | null;
  last_value_at: Time | null;
  last_value: Digits | null;
  count: Digits;
  sum: Digits;
}

export interface Sessions extends Answer {
  total: number;
  all: number;
  sessions: Session[];
}

export interface Account {
  id: string;
  name: string | null;
  kind: "identity" | "classic";
  count: Digits;
  sum: Digits;
  mean: number | null;
  min: Digits | null;
  max: Digits | null;
  first_seen: Time | null;
  last_seen: Time | null;
  open: boolean;
}

export interface Accounts extends Answer {
  complete: boolean;
  total: number;
  all: number;
  accounts: Account[];
}

export interface Verification {
  at: Time;
  took_ms: number;
  outcome: "whole" | "damaged" | "failed";
  text: string;
}

export interface Ledger extends Answer {
  kind: "folder" | "memory" | "postgres";
  path: string | null;
  size_bytes: number | null;
  segments: number | null;
  head: { batch: number | string; chain: string } | null;
  checkpoint: number | string | null;
  health: "good" | "full" | "away" | "failed";
  free_bytes: number | null;
  database: {
    connections: number | string;
    transactions: number | string;
    round_trips: number | string;
    conflicts: number | string;
    unknown_outcomes: number | string;
    standby: boolean;
  } | null;
  last_verification: Verification | null;
  job: {
    id: number | string;
    state: "running";
    started: Time;
    done_batches: number;
    all_batches: number;
  } | null;
}

export interface ReceiptAnswer extends Answer {
  outcome: "holds" | "does_not_hold" | "unreadable";
  text: string;
}

export interface Security extends Answer {
  reasons: (Refusal & { text: string })[];
  networks: {
    network: string;
    failures: number;
    last_at: Time;
    reasons: Record<string, number>;
  }[];
  limits: { name: string; limit: number; used: number }[];
}

export interface Trace {
  id: number;
  peer: string;
  name: string | null;
  profile: Session["profile"];
  opened: Time;
  ended: Time | null;
  frames: number;
  pinned: boolean;
}

export interface Traces extends Answer {
  traces: Trace[];
}

export interface Frame {
  seq: number;
  at: Time;
  micros_since_open: number;
  direction: "in" | "out";
  opcode: number;
  name: string;
  bytes: number;
  encrypted: boolean;
  note: string;
  seen: string;
}

export interface Wire extends Answer {
  id: number;
  peer: string;
  profile: Session["profile"];
  from_start: boolean;
  ended: Time | null;
  dropped: number;
  frames: Frame[];
}

export interface Entry {
  key: string;
  value: unknown;
  origin: "flag" | "environment" | "file" | "default";
  where: string | null;
  reloadable: boolean;
}

export interface Configuration extends Answer {
  entries: Entry[];
  file: string | null;
}

export interface Reloaded extends Answer {
  changed: { key: string; from: unknown; to: unknown }[];
  needs_restart: string[];
}

/** The server answered, and refused. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** The whole answer: some refusals have more to say. */
    readonly body: Record<string, unknown>,
  ) {
    super(message);
  }
}

/** No answer at all: refused connection, silence, or no JSON. */
export class Unreachable extends Error {}

const ANSWER_MAX_MS = 5_000;

export const url = (path: string) => `api/v1/${path}`;

/** `field=value&…`, without what is empty. */
export function query(fields: Record<string, string | number | undefined>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined && value !== "") search.set(key, String(value));
  }
  return search.toString();
}

export async function get<T>(path: string, stop?: AbortSignal): Promise<T> {
  return request<T>(path, { method: "GET" }, stop);
}

/** An action. */
export async function act<T>(method: "POST" | "PUT" | "DELETE", path: string, body?: unknown): Promise<T> {
  if (body === undefined) return request<T>(path, { method });
  const headers = { "Content-Type": "application/json" };
  return request<T>(path, { method, headers, body: JSON.stringify(body) });
}

interface Asked {
  method: string;
  headers?: Record<string, string>;
  body?: string;
}

async function request<T>(path: string, asked: Asked, stop?: AbortSignal): Promise<T> {
  // A form of another site cannot send it. It also goes with what only looks: the answer says
  // whether this tab may act.
  const headers = { ...asked.headers, "X-Ddes-Action": proof ?? "1" };
  const late = AbortSignal.timeout(ANSWER_MAX_MS);
  const signal = stop ? AbortSignal.any([stop, late]) : late;
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(url(path), { ...asked, headers, signal, credentials: "same-origin" });
    body = await response.json();
  } catch (error) {
    if (stop?.aborted) throw error;
    throw new Unreachable("The server does not answer.");
  }
  if (response.ok) return body as T;
  const whole = (body ?? {}) as Record<string, unknown>;
  const { code, message } = (whole["error"] ?? {}) as { code?: string; message?: string };
  const said = message ?? `The server refused: ${response.status}.`;
  throw new Refused(response.status, code ?? "refused", said, whole);
}

/** What to tell a person about a failed request. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
