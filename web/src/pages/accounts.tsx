// Accounts: what the ledger counted for whom. The server filters, sorts and divides into pages;
// the page remembers how the sums that it showed have moved.

import { useMemo, useState } from "preact/hooks";
import { query, url, type Account, type Accounts as Answer } from "../api";
import { boots, overview, useFeed } from "../feed";
import { mean, plural } from "../numbers";
import { Sparkline } from "../parts/chart";
import { Icon } from "../parts/icon";
import { Command, Empty, Sheet } from "../parts/notice";
import { Filter, listing, Pages, Rows, type Column } from "../parts/rows";
import { Ago, At, Day, Fact, Identifier, Sum } from "../parts/text";

const EVERY_MS = 2_000;

export function Accounts() {
  const order = listing("last_seen", "desc");
  const feed = useFeed<Answer>(`accounts?${order.search}`, EVERY_MS);
  const [shown, setShown] = useState<string | null>(null);
  const answer = feed.data.value;
  const boot = boots.value;
  useMemo(() => answer && remember(answer.accounts, boot), [answer, boot]);
  const columns = useMemo(() => columnsWith(setShown), []);
  const exported = (format: string) =>
    url(`accounts/export?${query({ format, q: order.q, sort: order.sort, order: order.order })}`);
  return (
    <>
      <div class="toolbar">
        <Filter hint="Name or fingerprint" value={order.q} />
        <span class="push together">
          <a class="button" href={exported("csv")} download>
            <Icon name="download" />
            CSV
          </a>
          <a class="button" href={exported("ndjson")} download>
            <Icon name="download" />
            NDJSON
          </a>
        </span>
      </div>
      {feed.error.value && <p class="failed">{feed.error.value}</p>}
      {answer && !answer.complete && (
        <p class="progressing" role="status">
          The server is reading all accounts for the first time: order and number are not final yet.
        </p>
      )}
      {answer && answer.accounts.length > 0 && (
        <Rows caption="Accounts" columns={columns} rows={answer.accounts} id={(row) => row.id} listing={order} />
      )}
      {answer?.complete && answer.all === 0 && (
        <Empty title="No account yet.">
          <p>An account begins with the first session of a key:</p>
          <Command>
            {overview.value?.server.address === "127.0.0.1:5566"
              ? "ddes send 50 8"
              : `ddes send --server ${overview.value?.server.address ?? "HOST:PORT"} 50 8`}
          </Command>
        </Empty>
      )}
      {answer && answer.all > 0 && (
        <Pages offset={order.offset} rows={answer.accounts.length} total={answer.total} one="account" page="accounts">
          The ledger has {plural(answer.all, "account")}.
        </Pages>
      )}
      {shown !== null && <Details id={shown} onClose={() => setShown(null)} />}
    </>
  );
}

function columnsWith(show: (id: string) => void): Column<Account>[] {
  return [
    {
      title: "Account",
      sort: "name",
      isWide: true,
      cell: (row) => (
        <span class="account">
          <button type="button" class="link" onClick={() => show(row.id)}>
            {row.name ?? <code>{row.id}</code>}
          </button>
          {row.open && <span class="mark">open</span>}
          {row.name !== null && <code class="aside">{row.id}</code>}
        </span>
      ),
    },
    { title: "Sum", sort: "sum", isNumber: true, first: "desc", cell: (row) => <Sum value={row.sum} /> },
    { title: "Since opened", isNumber: true, cell: (row) => <Moved account={row} /> },
    { title: "Count", sort: "count", isNumber: true, first: "desc", cell: (row) => <Sum value={row.count} /> },
    { title: "Mean", sort: "mean", isNumber: true, first: "desc", cell: (row) => mean(row.mean) },
    { title: "Min", sort: "min", isNumber: true, cell: (row) => <Sum value={row.min} /> },
    { title: "Max", sort: "max", isNumber: true, first: "desc", cell: (row) => <Sum value={row.max} /> },
    { title: "First seen", sort: "first_seen", isNumber: true, cell: (row) => <Day time={row.first_seen} /> },
    { title: "Last seen", sort: "last_seen", isNumber: true, first: "desc", cell: (row) => <Ago time={row.last_seen} /> },
  ];
}

/** Bounds of what the page remembers. */
const REMEMBERED_MAX = 1_000;
const POINTS_MAX = 60;

/** Of each account: its sum when first shown, and how far from it each later one was. */
const seen = new Map<string, { first: bigint; last: bigint; points: number[] }>();
let seenBoot = 0;

function remember(accounts: Account[], boot: number): void {
  if (boot !== seenBoot) {
    seen.clear();
    seenBoot = boot;
  }
  for (const { id, sum } of accounts) {
    const value = BigInt(sum);
    const known = seen.get(id) ?? { first: value, last: value, points: [] };
    known.last = value;
    // Only for drawing: the difference, not the sum, becomes a number.
    known.points.push(Number(value - known.first));
    if (known.points.length > POINTS_MAX) known.points.shift();
    seen.delete(id);
    seen.set(id, known);
  }
  for (const id of seen.keys()) {
    if (seen.size <= REMEMBERED_MAX) break;
    seen.delete(id);
  }
}

function Moved({ account }: { account: Account }) {
  const known = seen.get(account.id);
  if (!known || known.first === known.last) return <span class="none">–</span>;
  const moved = known.last - known.first;
  const text = `${moved > 0n ? "+" : ""}${moved} since this page shows it`;
  return <Sparkline values={known.points} text={text} />;
}

/** One account, asked from the ledger itself. */
function Details({ id, onClose }: { id: string; onClose: () => void }) {
  const feed = useFeed<Account & { as_of?: string }>(`accounts/${encodeURIComponent(id)}`, EVERY_MS);
  const one = feed.data.value;
  return (
    <Sheet title={one?.name ?? "Account"} onClose={onClose}>
      {feed.error.value && <p class="failed">{feed.error.value}</p>}
      <p>
        <Identifier value={id} what="account" />
      </p>
      {one && (
        <dl class="facts">
          <Fact name="Sum">
            <Sum value={one.sum} />
          </Fact>
          <Fact name="Count">
            <Sum value={one.count} />
          </Fact>
          <Fact name="Mean">{mean(one.mean)}</Fact>
          <Fact name="Min">
            <Sum value={one.min} />
          </Fact>
          <Fact name="Max">
            <Sum value={one.max} />
          </Fact>
          <Fact name="First seen">
            <At time={one.first_seen} />
          </Fact>
          <Fact name="Last seen">
            <At time={one.last_seen} />
          </Fact>
          <Fact name="Session">{one.open ? "open" : "none"}</Fact>
        </dl>
      )}
    </Sheet>
  );
}
