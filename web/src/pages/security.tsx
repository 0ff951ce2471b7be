// Security: what was refused, why, and from where; and how much of each limit is used.

import type { Security as Answer } from "../api";
import { overview, useFeed } from "../feed";
import { amount } from "../numbers";
import { Empty } from "../parts/notice";
import { Rows, type Column } from "../parts/rows";
import { Ago, Words } from "../parts/text";
import { Warnings } from "./overview";

const EVERY_MS = 2_000;

/** Reasons by what an operator would do about them. The server's list of reasons is bounded. */
const KINDS: { title: string; about: string; reasons: string[] }[] = [
  {
    title: "Failed handshakes",
    about: "Malformed, out of order, too slow, or cut off",
    reasons: ["bad_handshake", "bad_order", "too_long", "truncated", "timeout_handshake", "left"],
  },
  {
    title: "Strangers",
    about: "A key that no list has, or a false proof of one",
    reasons: ["not_authorized", "bad_signature"],
  },
  {
    title: "Bad HMAC or token",
    about: "A message was changed on its way, or replayed",
    reasons: ["bad_hmac", "bad_token"],
  },
  {
    title: "Limits",
    about: "Too many, or too fast",
    reasons: [
      "full_connections",
      "full_unproven",
      "full_address",
      "too_fast_connects",
      "too_fast_handshakes",
    ],
  },
];

export function Security() {
  const feed = useFeed<Answer>("security", EVERY_MS);
  const answer = feed.data.value;
  const server = overview.value?.server;
  if (feed.error.value && !answer) return <p class="failed">{feed.error.value}</p>;
  if (!answer) return null;
  return (
    <>
      {server && <Warnings classic={server.classic} allowAny={server.allow_any} />}
      <Kinds answer={answer} />
      <div class="columns two">
        <Reasons answer={answer} />
        <Limits answer={answer} />
      </div>
      <Networks answer={answer} />
    </>
  );
}

function Kinds({ answer }: { answer: Answer }) {
  const known = new Map(answer.reasons.map((one) => [one.reason, one]));
  return (
    <ul class="kinds">
      {KINDS.map((kind) => {
        const of = kind.reasons.flatMap((reason) => known.get(reason) ?? []);
        const total = of.reduce((sum, one) => sum + one.count, 0);
        const recent = of.reduce((sum, one) => sum + one.last_minute, 0);
        return (
          <li key={kind.title} class="card">
            <h2>{kind.title}</h2>
            <p class="kind-count">
              <span class={total > 0 ? "reading-value" : "reading-value none"}>{amount(total)}</span>
              <span class={recent > 0 ? "recent" : "aside"}>{amount(recent)} in the last minute</span>
            </p>
            <p class="quietly">{kind.about}</p>
          </li>
        );
      })}
    </ul>
  );
}

const REASONS: Column<Answer["reasons"][number]>[] = [
  {
    title: "Reason",
    isWide: true,
    cell: (row) => (
      <>
        <Words text={row.reason} />
        <span class="below">{row.text}</span>
      </>
    ),
  },
  { title: "Last minute", isNumber: true, cell: (row) => amount(row.last_minute) },
  { title: "Since start", isNumber: true, cell: (row) => amount(row.count) },
];

function Reasons({ answer }: { answer: Answer }) {
  const shown = answer.reasons
    .filter((one) => one.count > 0)
    .toSorted((a, b) => b.last_minute - a.last_minute || b.count - a.count);
  return (
    <section class="card" aria-labelledby="reasons">
      <header class="card-head">
        <h2 id="reasons">By reason</h2>
      </header>
      {shown.length === 0 ? (
        <p class="quietly">Nothing was refused since the server started.</p>
      ) : (
        <Rows
          caption="Refusals by reason"
          id={(row) => row.reason}
          rows={shown}
          columns={REASONS}
        />
      )}
    </section>
  );
}

const BAR = 96;
/** From here on a limit is about to be felt. */
const NEAR = 0.8;

const LIMITS: Column<Answer["limits"][number]>[] = [
  { title: "Limit", isWide: true, cell: (row) => row.name },
  {
    title: "Used",
    isNumber: true,
    cell: (row) => {
      const part = Math.min(1, row.limit > 0 ? row.used / row.limit : 0);
      return (
        <span class={part >= NEAR ? "used near" : "used"}>
          <svg width={BAR} height="4" aria-hidden="true">
            <rect class="rail" width={BAR} height="4" rx="2" />
            <rect class="rest" width={BAR * part} height="4" rx="2" />
          </svg>
          <span>{amount(row.used)}</span>
        </span>
      );
    },
  },
  { title: "Of", isNumber: true, cell: (row) => amount(row.limit) },
];

function Limits({ answer }: { answer: Answer }) {
  return (
    <section class="card" aria-labelledby="limits">
      <header class="card-head">
        <h2 id="limits">Limits</h2>
      </header>
      <Rows
        caption="Limits"
        id={(row) => row.name}
        rows={answer.limits}
        columns={LIMITS}
      />
    </section>
  );
}

const NETWORKS: Column<Answer["networks"][number]>[] = [
  { title: "Network", isWide: true, cell: (row) => <code>{row.network}</code> },
  { title: "Failures", isNumber: true, cell: (row) => amount(row.failures) },
  { title: "Last", isNumber: true, cell: (row) => <Ago time={row.last_at} /> },
  {
    title: "Reasons",
    isWide: true,
    cell: (row) => (
      <span class="tags">
        {Object.entries(row.reasons)
          .toSorted(([, a], [, b]) => b - a)
          .map(([reason, count]) => (
            <span class="tag" key={reason}>
              <code>{reason}</code> {amount(count)}
            </span>
          ))}
      </span>
    ),
  },
];

function Networks({ answer }: { answer: Answer }) {
  return (
    <section class="card" aria-labelledby="networks">
      <header class="card-head">
        <h2 id="networks">By network</h2>
        <span class="card-note">the 50 with the most in the last hour</span>
      </header>
      {answer.networks.length === 0 ? (
        <Empty title="No network failed in the last hour.">
          <p>
            To see one, knock with a key that no list has: <code>ddes connect --as stranger</code>
          </p>
        </Empty>
      ) : (
        <Rows
          caption="Failures by network"
          id={(row) => row.network}
          rows={answer.networks}
          columns={NETWORKS}
        />
      )}
    </section>
  );
}
