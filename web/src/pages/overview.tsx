// Overview: whether it is well, how much it does, and what it refused.

import type { Overview as Answer } from "../api";
import { overview } from "../feed";
import { amount, bytes, duration, micros } from "../numbers";
import { link } from "../route";
import { Chart } from "../parts/chart";
import { Command, Empty, Notice } from "../parts/notice";
import { Fact, Sum, Words } from "../parts/text";

export function Overview() {
  const answer = overview.value;
  if (answer === null) return null;
  const { history, server } = answer;
  const step = history.step_secs;
  return (
    <>
      <p class={`health ${answer.health.level}`}>
        <span class="dot" aria-hidden="true" />
        <span class="unseen">Health: {answer.health.level}. </span>
        {answer.health.text}
      </p>
      <Warnings classic={server.classic} allowAny={server.allow_any} />
      {answer.totals.count === "0" && answer.sessions.open === 0 && <First address={server.address} />}
      <div class="charts">
        <Chart
          title="Values per second"
          series={[{ title: "Values/s", values: history.values_per_sec }]}
          step={step}
          format={compact}
          least={4}
        />
        <Chart
          title="Commit time"
          series={[
            { title: "p99", values: history.commit_p99_micros },
            { title: "p50", values: history.commit_p50_micros, isSecond: true },
          ]}
          step={step}
          format={micros}
          least={1000}
        />
        <Chart
          title="Sessions"
          series={[{ title: "Sessions", values: history.sessions }]}
          step={step}
          format={compact}
          least={4}
        />
      </div>
      <div class="columns">
        <Totals answer={answer} />
        <Traffic answer={answer} />
        <Refusals answer={answer} />
      </div>
    </>
  );
}

const thousands = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** Exact up to five digits, then 123K. */
function compact(value: number): string {
  return value < 100_000 ? amount(value) : thousands.format(value);
}

export function Warnings({ classic, allowAny }: { classic: boolean; allowAny: boolean }) {
  return (
    <>
      {allowAny && (
        <Notice level="critical" title="This server lets in whoever holds any key.">
          It was started with <code>--allow-any</code>. Anybody who reaches its port may count. Start it
          without the flag, and list who may connect with <code>ddes authorize</code>.
        </Notice>
      )}
      {classic && (
        <Notice level="warning" title="This server also speaks classic, which proves nobody's identity.">
          Double DES in ECB shows equal integers as equal bytes, and whoever sits on the path can read and
          change them. It is for lessons on a closed network. To turn it off, start without{" "}
          <code>--classic</code>.
        </Notice>
      )}
    </>
  );
}

/** What to do with a server that has counted nothing. */
function First({ address }: { address: string }) {
  const isDefault = address === "127.0.0.1:5566";
  return (
    <Empty title="Nothing has been counted yet.">
      <p>In a terminal on this machine, send two integers:</p>
      <Command>{isDefault ? "ddes send 50 8" : `ddes send --server ${address} 50 8`}</Command>
    </Empty>
  );
}

/** Totals are asked for each second, and a page in the background comes back with older ones. */
const OLD_MS = 15_000;

function Totals({ answer }: { answer: Answer }) {
  const { totals } = answer;
  const age = Date.parse(answer.as_of ?? totals.as_of) - Date.parse(totals.as_of);
  return (
    <section class="card" aria-labelledby="totals">
      <header class="card-head">
        <h2 id="totals">Totals</h2>
        {age > OLD_MS && <span class="card-note">{duration(age / 1000)} old: the ledger does not answer</span>}
        <a href={link("accounts")}>Accounts</a>
      </header>
      <p class="big">
        <span class="big-name">Sum</span>
        <Sum value={totals.sum} />
      </p>
      <dl class="facts">
        <Fact name="Values counted">
          <Sum value={totals.count} />
        </Fact>
        <Fact name="Accounts">
          <Sum value={totals.accounts} />
        </Fact>
        <Fact name="Values waiting for the ledger">{amount(answer.commit.queued_values)}</Fact>
      </dl>
    </section>
  );
}

function Traffic({ answer }: { answer: Answer }) {
  const { sessions, rates } = answer;
  return (
    <section class="card" aria-labelledby="traffic">
      <header class="card-head">
        <h2 id="traffic">Traffic</h2>
        <span class="card-note">mean of 10 s</span>
      </header>
      <dl class="facts">
        <Fact name="Connections">
          {amount(sessions.connections)} <span class="of">of {amount(sessions.max)}</span>
        </Fact>
        <Fact name="Without proof yet">{amount(sessions.unproven)}</Fact>
        <Fact name="Classic sessions">{amount(sessions.classic)}</Fact>
        <Fact name="Submissions">{amount(rates.submissions_per_sec)}/s</Fact>
        <Fact name="Batches">{amount(rates.batches_per_sec)}/s</Fact>
        <Fact name="Handshakes">{amount(rates.handshakes_per_sec)}/s</Fact>
        <Fact name="Received">{bytes(rates.bytes_in_per_sec)}/s</Fact>
        <Fact name="Sent">{bytes(rates.bytes_out_per_sec)}/s</Fact>
      </dl>
    </section>
  );
}

const SHOWN = 8;

function Refusals({ answer }: { answer: Answer }) {
  const sorted = answer.refusals.toSorted((a, b) => b.last_minute - a.last_minute || b.count - a.count);
  return (
    <section class="card" aria-labelledby="refusals">
      <header class="card-head">
        <h2 id="refusals">Refusals</h2>
        <a href={link("security")}>Security</a>
      </header>
      {sorted.length === 0 ? (
        <p class="quietly">Nothing was refused since the server started.</p>
      ) : (
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Reason</th>
              <th scope="col" class="number">
                Last minute
              </th>
              <th scope="col" class="number">
                Since start
              </th>
            </tr>
          </thead>
          <tbody>
            {sorted.slice(0, SHOWN).map((one) => (
              <tr key={one.reason}>
                <td>
                  <Words text={one.reason} />
                </td>
                <td class={one.last_minute > 0 ? "number" : "number none"}>{amount(one.last_minute)}</td>
                <td class="number">{amount(one.count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
