// A stand-in for `ddes serve --http`: the page with the headers of the real server, and /api/v1
// with made-up data that moves. For developing the page, and for its tests.
//
//     node mock/server.mjs --port 5580 --sessions 10000 --accounts 1000000
//     … --read-only      no right to act
//     … --locked         every request of the API is refused, as without a token
//     … --classic --allow-any --memory

import { createServer } from "node:http";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Books } from "./accounts.mjs";
import { fingerprint, iso, World } from "./world.mjs";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "5580" },
    sessions: { type: "string", default: "3" },
    accounts: { type: "string", default: "" },
    dist: { type: "string", default: join(dirname(fileURLToPath(import.meta.url)), "../dist") },
    "read-only": { type: "boolean", default: false },
    locked: { type: "boolean", default: false },
    classic: { type: "boolean", default: false },
    "allow-any": { type: "boolean", default: false },
    memory: { type: "boolean", default: false },
  },
});

const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const KINDS = { js: "text/javascript", css: "text/css", html: "text/html; charset=utf-8", txt: "text/plain; charset=utf-8" };
const IDLE_SECS = 60;
const VERSION = "0.1.0";

const sessions = Number(flags.sessions);
const accounts = flags.accounts === "" ? Math.max(sessions, 0) : Number(flags.accounts);
const world = new World({ sessions, accounts, classic: flags.classic });
const books = new Books(accounts, world);
const files = new Map(
  readdirSync(flags.dist).map((name) => [name, readFileSync(join(flags.dist, name))]),
);
const verification = { job: null, last: null, number: 0 };
let level = "info";

class Refusal extends Error {
  constructor(status, code, message, more = {}) {
    super(message);
    Object.assign(this, { status, code, more });
  }
}

function overview() {
  const open = [...world.sessions.values()];
  const last = (list) => list[list.length - 1] ?? null;
  const isLoud = flags.classic || flags["allow-any"];
  const count = open.length;
  return {
    server: {
      version: VERSION,
      address: "127.0.0.1:5566",
      http: `127.0.0.1:${flags.port}`,
      started: iso(world.started - (sessions > 0 ? 273_000_000 : 0)),
      uptime_secs: Math.floor((Date.now() - world.started) / 1000) + (sessions > 0 ? 273_000 : 0),
      fingerprint: fingerprint(424242),
      boot: world.boot,
      state: "serving",
      classic: flags.classic,
      allow_any: flags["allow-any"],
      suites: ["hybrid", "hybrid-3072", "hybrid-4096"],
      idle_secs: IDLE_SECS,
    },
    can_act: !flags["read-only"],
    health: isLoud
      ? { level: "warning", text: "It serves, but not as safely as it can." }
      : {
          level: "ok",
          text: count === 0 ? "All is well: nobody is connected." : "All is well: commits take 0.4 ms, and nothing waits.",
        },
    sessions: {
      open: open.filter((one) => one.state !== "handshake").length,
      unproven: open.filter((one) => one.state === "handshake").length,
      classic: open.filter((one) => one.profile === "classic").length,
      connections: count,
      max: Math.max(4_096, count * 2),
    },
    rates: {
      values_per_sec: last(world.history.values) ?? 0,
      submissions_per_sec: count * 3.1,
      batches_per_sec: Math.min(900, count * 2.4),
      handshakes_per_sec: count / 300,
      connects_per_sec: count / 290,
      refusals_per_sec: count > 0 ? 0.2 : 0,
      bytes_in_per_sec: count * 1_900,
      bytes_out_per_sec: count * 1_200,
    },
    commit: { p50_micros: last(world.history.p50), p99_micros: last(world.history.p99), queued_values: Math.floor(count / 9) },
    totals: { as_of: iso(Date.now()), accounts: String(accounts), count: String(world.count), sum: String(world.sum) },
    refusals: [...world.refusals].map(([reason, { count: all, recent }]) => ({ reason, count: all, last_minute: recent })),
    history: {
      step_secs: 1,
      values_per_sec: world.history.values,
      sessions: world.history.sessions,
      commit_p50_micros: world.history.p50,
      commit_p99_micros: world.history.p99,
    },
  };
}

function shown(session) {
  const { deadline, ...rest } = session;
  return {
    ...rest,
    opened: iso(session.opened),
    idle_deadline: session.state === "open" ? iso(deadline) : null,
    last_value_at: session.last_value_at === null ? null : iso(session.last_value_at),
    last_value: session.last_value === null ? null : String(session.last_value),
    count: String(session.count),
    sum: String(session.sum),
  };
}

const ORDERS = {
  id: (a, b) => a.id - b.id,
  peer: (a, b) => (a.peer < b.peer ? -1 : a.peer > b.peer ? 1 : 0),
  name: (a, b) => ((a.name ?? "~") < (b.name ?? "~") ? -1 : (a.name ?? "~") > (b.name ?? "~") ? 1 : 0),
  idle: (a, b) => a.deadline - b.deadline,
  sum: (a, b) => (a.sum < b.sum ? -1 : a.sum > b.sum ? 1 : 0),
  count: (a, b) => Number(a.count - b.count),
  opened: (a, b) => a.opened - b.opened,
};

function asked(search, sorts) {
  const sort = search.get("sort") ?? sorts[0];
  if (!sorts.includes(sort)) throw new Refusal(400, "bad_request", `There is no order by ${sort}.`);
  return {
    q: search.get("q") ?? "",
    sort,
    order: search.get("order") ?? "asc",
    limit: Math.min(500, Number(search.get("limit") ?? 100)),
    offset: Number(search.get("offset") ?? 0),
  };
}

function listSessions(search) {
  const { q, sort, order, limit, offset } = asked(search, Object.keys(ORDERS));
  const [profile, state] = [search.get("profile"), search.get("state")];
  const matching = [...world.sessions.values()].filter(
    (one) =>
      (!profile || one.profile === profile) &&
      (!state || one.state === state) &&
      (!q || one.peer.includes(q) || (one.name ?? "").includes(q) || (one.account ?? "").includes(q) || String(one.id) === q),
  );
  matching.sort(ORDERS[sort]);
  if (order === "desc") matching.reverse();
  return {
    total: matching.length,
    all: world.sessions.size,
    sessions: matching.slice(offset, offset + limit).map(shown),
  };
}

function theSession(id) {
  const session = world.sessions.get(Number(id));
  if (!session) throw new Refusal(404, "not_found", `Session ${id} is not open: it has ended.`);
  return session;
}

function endAll({ expect }) {
  const open = world.sessions.size;
  if (open > Number(expect) + Math.max(10, Number(expect) / 10)) {
    throw new Refusal(409, "conflict", `Now ${open} sessions are open.`, { open });
  }
  for (const session of [...world.sessions.values()]) world.end(session, "operator");
  return { ended: open };
}

function traces() {
  return {
    traces: [...world.traces].map(([id, trace]) => ({
      id,
      peer: trace.session.peer,
      name: trace.session.name,
      profile: trace.session.profile,
      opened: iso(trace.opened),
      ended: trace.ended === null ? null : iso(trace.ended),
      frames: trace.seq,
      pinned: world.pins.has(id),
    })),
  };
}

function wire(id, search) {
  const trace = world.traces.get(Number(id));
  if (!trace) throw new Refusal(404, "not_found", `Session ${id} is not traced. Pin it to trace it from now on.`);
  const after = Number(search.get("after") ?? 0);
  return {
    id: Number(id),
    peer: trace.session.peer,
    profile: trace.session.profile,
    from_start: true,
    ended: trace.ended === null ? null : iso(trace.ended),
    dropped: trace.dropped,
    frames: trace.frames.filter((frame) => frame.seq > after),
  };
}

const BATCHES = 48_211;
const VERIFY_MS = 2_500;

function ledger() {
  const { job } = verification;
  const done = job ? Math.min(1, (Date.now() - job.started) / VERIFY_MS) : 0;
  if (job && done >= 1) {
    verification.last = { at: iso(Date.now()), took_ms: VERIFY_MS, outcome: "whole", text: `All ${BATCHES} batches are there, and the chain holds.` };
    verification.job = null;
  }
  const isFolder = !flags.memory;
  return {
    kind: isFolder ? "folder" : "memory",
    path: isFolder ? "/var/lib/ddes/ledger" : null,
    size_bytes: isFolder ? 182_400_112 : null,
    segments: isFolder ? 3 : null,
    head: isFolder && sessions > 0 ? { batch: BATCHES, chain: "9f2c81d0a4be77315ec0d2f6b1a8890c43e7f5d16b2a9c80e4d7f3b25a6c1e08" } : null,
    checkpoint: isFolder && sessions > 0 ? 47_900 : null,
    health: "good",
    free_bytes: isFolder ? 64_100_000_000 : null,
    last_verification: verification.last,
    job: verification.job && { id: job.id, state: "running", started: iso(job.started), done_batches: Math.floor(done * BATCHES), all_batches: BATCHES },
  };
}

function verify() {
  if (flags.memory) throw new Refusal(400, "bad_request", "A ledger in memory has no files to verify.");
  if (verification.job) throw new Refusal(409, "conflict", "A verification runs already.");
  verification.number += 1;
  verification.job = { id: verification.number, started: Date.now() };
  return { job: verification.number };
}

function receipt({ receipt: text }) {
  if (!String(text).includes("BEGIN SSH SIGNATURE")) {
    return { outcome: "unreadable", text: "It has no signature. Paste all of what `ddes ledger receipt` printed." };
  }
  if (String(text).includes("tampered")) {
    return { outcome: "does_not_hold", text: "The signature is not of this server's key." };
  }
  return { outcome: "holds", text: "Signed by this server; the ledger has that total at that batch." };
}

const TEXTS = {
  not_authorized: "A key that is on no list. To let it in: ddes authorize KEY",
  timeout_handshake: "No proof within 10 s of connecting",
  bad_handshake: "A malformed hello, or a value outside its group",
  too_fast_handshakes: "More handshakes a second from one network than allowed",
  bad_hmac: "A record that does not open: changed on its way",
  idle: "No counted integer within the idle time",
  operator: "Ended from this page or the console",
};

function security() {
  const reasons = [...world.refusals].map(([reason, { count, recent }]) => ({
    reason, count, last_minute: recent, text: TEXTS[reason] ?? reason,
  }));
  const at = Date.now();
  const networks = sessions === 0 ? [] : Array.from({ length: sessions > 100 ? 50 : 4 }, (_, number) => ({
    network: number % 4 === 3 ? `2001:db8:${number}::/64` : `198.51.${number}.0/24`,
    failures: Math.ceil(140 / (number + 1)),
    last_at: iso(at - number * 61_000 - 4_000),
    reasons: number % 2 === 0 ? { too_fast_handshakes: Math.ceil(128 / (number + 1)), bad_handshake: 2 } : { not_authorized: Math.ceil(41 / (number + 1)) },
  }));
  const count = world.sessions.size;
  return {
    reasons,
    networks,
    limits: [
      { name: "Connections in all", limit: Math.max(4_096, count * 2), used: count },
      { name: "Unproven connections in all", limit: 2_048, used: Math.floor(count / 97) },
      { name: "Handshakes in progress", limit: 2_048, used: Math.floor(count / 970) },
      { name: "HTTP connections", limit: 64, used: 3 },
      { name: "Event streams", limit: 16, used: 1 },
    ],
  };
}

function config() {
  return {
    file: "/etc/ddes/ddes.toml",
    entries: [
      { key: "listen", value: "127.0.0.1:5566", origin: "default", where: null, reloadable: false },
      { key: "http", value: `127.0.0.1:${flags.port}`, origin: "flag", where: null, reloadable: false },
      { key: "idle_secs", value: IDLE_SECS, origin: "file", where: "/etc/ddes/ddes.toml:7", reloadable: true },
      { key: "suite", value: ["hybrid", "hybrid-3072", "hybrid-4096"], origin: "default", where: null, reloadable: true },
      { key: "ledger", value: flags.memory ? "memory" : "/var/lib/ddes/ledger", origin: "environment", where: "DDES_LEDGER", reloadable: false },
      { key: "classic", value: flags.classic, origin: flags.classic ? "flag" : "default", where: null, reloadable: false },
      { key: "allow_any", value: flags["allow-any"], origin: flags["allow-any"] ? "flag" : "default", where: null, reloadable: false },
      { key: "max_connections", value: 4096, origin: "default", where: null, reloadable: true },
      { key: "drain_secs", value: 20, origin: "file", where: "/etc/ddes/ddes.toml:9", reloadable: true },
      { key: "log_level", value: level, origin: "default", where: null, reloadable: true },
    ],
  };
}

function setLevel({ level: wanted }) {
  if (!["error", "warn", "info", "debug"].includes(wanted)) throw new Refusal(400, "bad_request", `No level ${wanted}.`);
  level = wanted;
  return { level };
}

function exported(response, search) {
  const isCsv = search.get("format") === "csv";
  response.setHeader("Content-Type", isCsv ? "text/csv; charset=utf-8" : "application/x-ndjson");
  response.setHeader("Content-Disposition", `attachment; filename="accounts.${isCsv ? "csv" : "ndjson"}"`);
  const { accounts: rows } = books.page({ ...asked(search, SORTS), limit: 1_000, offset: 0 });
  const line = isCsv ? (row) => Object.values(row).join(",") : (row) => JSON.stringify(row);
  response.end(rows.map(line).join("\n") + "\n");
}

const SORTS = ["id", "name", "sum", "count", "mean", "min", "max", "first_seen", "last_seen"];

/** What answers a request of the API: by method and path, with what the path holds. */
const ROUTES = [
  ["GET", /^overview$/, () => overview()],
  ["GET", /^sessions$/, (_, { search }) => listSessions(search)],
  ["GET", /^sessions\/(\d+)$/, ([id]) => shown(theSession(id))],
  ["POST", /^sessions\/(\d+)\/end$/, ([id]) => {
    world.end(theSession(id), "operator");
    return { ended: 1 };
  }],
  ["POST", /^sessions\/end-all$/, (_, { body }) => endAll(body)],
  ["GET", /^wire$/, () => traces()],
  ["GET", /^wire\/(\d+)$/, ([id], { search }) => wire(id, search)],
  ["POST", /^wire\/(\d+)\/pin$/, ([id]) => {
    if (!world.traces.has(Number(id))) world.trace(theSession(id));
    world.pins.add(Number(id));
    return {};
  }],
  ["DELETE", /^wire\/(\d+)\/pin$/, ([id]) => {
    world.pins.delete(Number(id));
    return {};
  }],
  ["GET", /^accounts$/, (_, { search }) => books.page(asked(search, SORTS))],
  ["GET", /^accounts\/(.+)$/, ([id]) => {
    const account = books.find(decodeURIComponent(id));
    if (!account) throw new Refusal(404, "not_found", "The ledger has no such account.");
    return account;
  }],
  ["GET", /^ledger$/, () => ledger()],
  ["POST", /^ledger\/verify$/, () => verify()],
  ["POST", /^ledger\/receipt$/, (_, { body }) => receipt(body)],
  ["GET", /^security$/, () => security()],
  ["GET", /^config$/, () => config()],
  ["POST", /^config\/reload$/, () => ({ changed: [{ key: "idle_secs", from: 60, to: 90 }], needs_restart: ["listen"] })],
  ["PUT", /^log$/, (_, { body }) => setLevel(body)],
  ["POST", /^stop$/, () => {
    setTimeout(() => process.exit(0), 100);
    return {};
  }],
];

function answer(request, url, body) {
  if (flags.locked) throw new Refusal(401, "unauthorized", "This address needs a token or a login.");
  if (request.method !== "GET") {
    if (!/^(1|[0-9a-f]{64})$/.test(request.headers["x-ddes-action"] ?? "")) throw new Refusal(403, "forbidden", "X-Ddes-Action: 1 is missing.");
    if (flags["read-only"]) throw new Refusal(401, "unauthorized", "An action needs the token or a login.");
  }
  const path = url.pathname.slice("/api/v1/".length);
  for (const [method, pattern, handler] of ROUTES) {
    const match = pattern.exec(path);
    if (match && method === request.method) {
      return handler(match.slice(1), { search: url.searchParams, body });
    }
  }
  throw new Refusal(404, "not_found", `There is no ${request.method} ${url.pathname}.`);
}

function send(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ schema_version: 1, as_of: iso(Date.now()), ...body }));
}

async function handle(request, response) {
  const url = new URL(request.url, "http://127.0.0.1");
  response.setHeader("Content-Security-Policy", CSP);
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("Referrer-Policy", "no-referrer");
  const name = url.pathname === "/" ? "index.html" : url.pathname.slice(1);
  const file = files.get(name);
  const isHashed = /-[0-9a-f]{12}\./.test(name);
  response.setHeader("Cache-Control", isHashed ? "public, max-age=31536000, immutable" : "no-store");
  if (file) {
    response.setHeader("Content-Type", KINDS[name.split(".").pop()] ?? "application/octet-stream");
    response.end(file);
    return;
  }
  let text = "";
  for await (const part of request) text += part;
  try {
    if (url.pathname === "/api/v1/accounts/export") {
      exported(response, url.searchParams);
      return;
    }
    if (url.pathname === "/mock/connect") {
      for (let at = 0; at < Number(url.searchParams.get("n") ?? 1); at += 1) world.connect(at);
      send(response, 200, {});
      return;
    }
    send(response, 200, answer(request, url, text ? JSON.parse(text) : {}));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    send(response, error.status, { error: { code: error.code, message: error.message }, ...error.more });
  }
}

if (accounts > 100_000) books.order("last_seen");
const server = createServer((request, response) => void handle(request, response));
server.listen(Number(flags.port), "127.0.0.1", () => {
  flags.port = String(server.address().port);
  console.log(JSON.stringify({ event: "listening", http: `127.0.0.1:${flags.port}` }));
});
