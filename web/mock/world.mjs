// The made-up server behind the mock: sessions that connect, count and leave, their frames, and a
// million accounts. Seeded, so that two runs look alike.

/** A small generator of pseudo-random numbers (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export const iso = (at) => new Date(at).toISOString();

/** Deterministic text that looks like a fingerprint. */
export function fingerprint(seed) {
  const next = random(seed * 2654435761 + 97);
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let text = "SHA256:";
  for (let at = 0; at < 43; at += 1) text += letters[Math.floor(next() * 64)];
  return text;
}

const NAMES = ["anna", "berta", "carl", "dora", "emil", "frida", "gustav", "hanna", "ivan", "jana"];
const SUITES = ["hybrid", "hybrid", "hybrid", "hybrid-3072", "ddes"];
const IDLE_MS = 60_000;
/** More than a number holds exactly: the page must show each digit. */
export const BIG = 170_141_183_460_469_231_687_303_715_884_105_727n;
const HISTORY = 300;
const FRAMES_MAX = 400;

export class World {
  constructor({ sessions, accounts, classic, seed = 7 }) {
    this.next = random(seed);
    this.boot = Math.floor(Math.random() * 2 ** 48).toString(16).padStart(12, "0");
    this.started = Date.now();
    this.classic = classic;
    this.sessions = new Map();
    this.traces = new Map();
    this.pins = new Set();
    this.number = 0;
    this.wanted = sessions;
    this.count = 0n;
    this.sum = 0n;
    this.accounts = accounts;
    this.refusals = new Map();
    this.history = { values: [], sessions: [], p50: [], p99: [] };
    const before = sessions > 0;
    for (let at = 0; at < sessions; at += 1) this.connect(at);
    if (before) this.invent();
    if (accounts > 0) {
      this.count = BigInt(accounts) * 5_021n;
      this.sum = BIG - 1n;
    }
    this.timer = setInterval(() => this.step(), 250);
    this.ticks = 0;
  }

  stop() {
    clearInterval(this.timer);
  }

  /** Five minutes that were before the page opened. */
  invent() {
    for (let at = 0; at < HISTORY; at += 1) {
      const wave = 1 + 0.3 * Math.sin(at / 23) + 0.12 * this.next();
      const pause = at > 130 && at < 138;
      this.history.values.push(pause ? 0 : Math.round(this.wanted * 41 * wave));
      this.history.sessions.push(Math.round(this.wanted * (0.93 + 0.07 * Math.min(1, at / 200))));
      this.history.p50.push(pause ? null : Math.round(310 + 60 * this.next() + 40 * wave));
      this.history.p99.push(pause ? null : Math.round(900 + 500 * this.next() ** 4 * 4 + 200 * wave));
    }
    const some = [
      ["not_authorized", 41, 2],
      ["timeout_handshake", 17, 0],
      ["bad_handshake", 9, 1],
      ["too_fast_handshakes", 128, 12],
      ["bad_hmac", 1, 0],
      ["idle", 12, 0],
    ];
    for (const [reason, count, recent] of some) this.refusals.set(reason, { count, recent });
  }

  connect(at) {
    this.number += 1;
    const id = this.number;
    const isClassic = this.classic && at % 3 === 2;
    const named = this.next() < 0.8;
    const now = Date.now();
    const session = {
      id,
      profile: isClassic ? "classic" : "v2",
      suite: isClassic ? null : SUITES[id % SUITES.length],
      peer: at % 7 === 6 ? `[2001:db8::${id.toString(16)}]:${20_000 + (id % 40_000)}` : `192.0.2.${id % 250}:${20_000 + (id % 40_000)}`,
      state: at % 97 === 96 ? "handshake" : "open",
      name: isClassic || !named ? null : `${NAMES[id % NAMES.length]}${id > 10 ? `-${id}` : ""}`,
      fingerprint: isClassic ? null : fingerprint(id),
      account: isClassic ? `classic-${id}` : fingerprint(id),
      operator: id === 1 && !isClassic,
      opened: now - Math.floor(this.next() * 3_600_000),
      deadline: now + Math.floor(this.next() * IDLE_MS),
      last_value_at: null,
      last_value: null,
      count: 0n,
      sum: id === 2 ? BIG - 1_000_000n : BigInt(Math.floor(this.next() * 1e6)),
    };
    this.sessions.set(id, session);
    if (this.number > this.wanted - 16 || this.wanted <= 16) this.trace(session);
    return session;
  }

  trace(session) {
    const trace = { session, opened: Date.now() - 2_400, ended: null, seq: 0, frames: [], dropped: 0 };
    this.traces.set(session.id, trace);
    if (session.profile === "classic") this.greetClassic(trace);
    else this.greet(trace);
    for (const [id, old] of this.traces) {
      if (this.traces.size <= 16) break;
      if (!this.pins.has(id) && old.ended !== null) this.traces.delete(id);
    }
    for (const id of this.traces.keys()) {
      if (this.traces.size <= 16) break;
      if (!this.pins.has(id)) this.traces.delete(id);
    }
  }

  greet(trace) {
    const put = (micros, direction, opcode, name, bytes, encrypted, note, seen) =>
      this.frame(trace, { micros, direction, opcode, name, bytes, encrypted, note, seen });
    const isHybrid = (trace.session.suite ?? "").startsWith("hybrid");
    put(180, "in", 10, "key 1 of 4", isHybrid ? 1450 : 266, false,
      "The client offers fresh Diffie-Hellman and ML-KEM keys for this session alone.",
      "The suite and two public keys; they say nothing about who the client is.");
    put(1_240, "out", 10, "key 2 of 4", isHybrid ? 1384 : 280, false,
      "The server answers with its own; from here both can compute the same secret keys.",
      "Random-looking bytes: without a private key the secret cannot be computed.");
    put(1_290, "out", 10, "key 3 of 4", 120, true,
      "The server proves who it is: its key and a signature over the handshake.",
      "120 encrypted bytes: not even which server this is.");
    put(3_105, "in", 10, "key 4 of 4", 120, true,
      "The client proves who it is, once it has found the server's key among those it knows.",
      "120 encrypted bytes: not which client this is.");
    put(4_020, "out", 20, "token", 86, true,
      "A random token that each submission must carry, and where the account stands.",
      "86 encrypted bytes.");
  }

  greetClassic(trace) {
    const put = (micros, direction, opcode, name, bytes, encrypted, note, seen) =>
      this.frame(trace, { micros, direction, opcode, name, bytes, encrypted, note, seen });
    put(250_100, "out", 10, "key 1 of 2", 1010, false, "The server's Diffie-Hellman key, unsigned.",
      "The whole key; who sits on the path can put another in its place.");
    put(251_900, "in", 10, "key 2 of 2", 1010, false, "The client's Diffie-Hellman key.",
      "The whole key; nothing says whose it is.");
    put(253_000, "out", 20, "token", 40, true, "The session token, under the first key, twice.",
      "Three blocks of DES in ECB.");
  }

  /** One submission and its answer. */
  submit(session) {
    const value = BigInt(Math.floor(this.next() * 2_000) - 400);
    const now = Date.now();
    session.count += 1n;
    session.sum += value;
    session.last_value = value;
    session.last_value_at = now;
    session.deadline = now + IDLE_MS;
    this.count += 1n;
    this.sum += value;
    const trace = this.traces.get(session.id);
    if (!trace) return;
    const micros = (now - trace.opened) * 1000 + Math.floor(this.next() * 900);
    const isClassic = session.profile === "classic";
    const size = isClassic ? 88 : 58 + 8 * Math.floor(this.next() * 4);
    this.frame(trace, { micros, direction: "in", opcode: 30, name: "data", bytes: size, encrypted: true,
      note: isClassic ? "One integer, with the token and an HMAC." : "Integers, numbered, with the token; the tag covers all of it.",
      seen: isClassic ? "Blocks of DES in ECB: equal integers look equal. The token is readable." : `${size} encrypted bytes: how many integers, not which.` });
    this.frame(trace, { micros: micros + 380 + Math.floor(this.next() * 300), direction: "out", opcode: 40, name: "result",
      bytes: isClassic ? 48 : 49, encrypted: true,
      note: "The total that the ledger now holds, synced to disk before it was sent.",
      seen: "That something was counted, and when." });
  }

  frame(trace, { micros, ...rest }) {
    trace.seq += 1;
    trace.frames.push({ seq: trace.seq, at: iso(trace.opened + micros / 1000), micros_since_open: micros, ...rest });
    if (trace.frames.length > FRAMES_MAX) {
      trace.frames.shift();
      trace.dropped += 1;
    }
  }

  end(session, reason) {
    this.sessions.delete(session.id);
    const known = this.refusals.get(reason) ?? { count: 0, recent: 0 };
    this.refusals.set(reason, { count: known.count + 1, recent: known.recent + 1 });
    const trace = this.traces.get(session.id);
    if (!trace) return;
    const micros = (Date.now() - trace.opened) * 1000;
    this.frame(trace, { micros, direction: "out", opcode: 50, name: "end", bytes: 34, encrypted: true,
      note: "Goodbye, with where the account stands.", seen: "That the session ends." });
    trace.ended = Date.now();
  }

  step() {
    this.ticks += 1;
    const open = [...this.sessions.values()].filter((session) => session.state === "open");
    const some = Math.min(open.length, Math.max(1, Math.ceil(open.length / 12)));
    for (let at = 0; at < some && open.length > 0; at += 1) {
      this.submit(open[Math.floor(this.next() * open.length)]);
    }
    const now = Date.now();
    for (const session of open) if (session.deadline < now) this.submit(session);
    if (this.ticks % 4 !== 0) return;
    const busy = open.length > 0;
    const wave = 1 + 0.3 * Math.sin((this.ticks / 4 + HISTORY) / 23) + 0.12 * this.next();
    const push = (list, value) => {
      list.push(value);
      if (list.length > HISTORY) list.shift();
    };
    push(this.history.values, Math.round(open.length * 41 * wave));
    push(this.history.sessions, this.sessions.size);
    push(this.history.p50, busy ? Math.round(310 + 60 * this.next() + 40 * wave) : null);
    push(this.history.p99, busy ? Math.round(900 + 500 * this.next() ** 4 * 4 + 200 * wave) : null);
  }
}
