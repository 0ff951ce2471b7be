// Sessions: who is connected, for how long yet, and what they counted. The server filters and sorts.

import { useMemo, useState } from "preact/hooks";
import { act, Refused, words, type Session, type Sessions as Answer } from "../api";
import { now, overview, refreshOverview, useFeed } from "../feed";
import { amount, plural } from "../numbers";
import { link } from "../route";
import { Icon } from "../parts/icon";
import { Action, Command, Empty, Question, ReadOnly, say } from "../parts/notice";
import { Choice, Filter, listing, Pages, Rows, type ChoiceProps, type Column } from "../parts/rows";
import { Ago, Sum } from "../parts/text";
import { Warnings } from "./overview";

const EVERY_MS = 1_000;

const profiles = { v2: "D-DDES/2", classic: "Classic", undecided: "Undecided" } as const;

const FILTERS: ChoiceProps[] = [
  { name: "profile", title: "Profile", all: "All profiles", of: { v2: profiles.v2, classic: profiles.classic } },
  { name: "state", title: "State", all: "All states", of: { open: "Open", handshake: "In handshake" } },
];

export function Sessions() {
  const order = listing("id", "asc", FILTERS.map((filter) => filter.name));
  const feed = useFeed<Answer>(`sessions?${order.search}`, EVERY_MS);
  const [ending, setEnding] = useState<Session | "all" | null>(null);
  const answer = feed.data.value;
  const server = overview.value?.server;
  const idleSecs = server?.idle_secs ?? 60;
  const columns = useMemo(() => columnsWith(idleSecs, setEnding), [idleSecs]);
  return (
    <>
      {server && <Warnings classic={server.classic} allowAny={server.allow_any} />}
      <ReadOnly />
      <div class="toolbar">
        <Filter hint="Peer, name, account or number" value={order.q} />
        {FILTERS.map((filter) => (
          <Choice key={filter.name} {...filter} />
        ))}
        <Action class="danger push" onAct={() => setEnding("all")}>
          End all…
        </Action>
      </div>
      {feed.error.value && <p class="failed">{feed.error.value}</p>}
      {answer && answer.sessions.length > 0 && (
        <Rows
          caption="Sessions"
          columns={columns}
          rows={answer.sessions}
          id={(row) => row.id}
          listing={order}
        />
      )}
      {answer && answer.all === 0 && <Nobody address={server?.address ?? ""} />}
      {answer && answer.all > 0 && (
        <Pages offset={order.offset} rows={answer.sessions.length} total={answer.total} one="session" page="sessions">
          {plural(answer.all, "session is", "sessions are")} open.
        </Pages>
      )}
      {ending === "all" && <EndAll onDone={() => setEnding(null)} refresh={feed.refresh} />}
      {ending && ending !== "all" && (
        <EndOne session={ending} onDone={() => setEnding(null)} refresh={feed.refresh} />
      )}
    </>
  );
}

function columnsWith(idleSecs: number, end: (session: Session) => void): Column<Session>[] {
  return [
    { title: "#", sort: "id", isNumber: true, first: "desc", cell: (row) => row.id },
    {
      title: "Name",
      sort: "name",
      cell: (row) => (
        <>
          {row.name ?? <span class="none">no name</span>}
          {row.operator && <span class="mark">operator</span>}
        </>
      ),
    },
    { title: "Peer", sort: "peer", cell: (row) => <code>{row.peer}</code> },
    {
      title: "Profile",
      cell: (row) => (
        <>
          <span class={row.profile === "classic" ? "caution" : undefined}>{profiles[row.profile]}</span>
          {row.suite && <span class="aside"> {row.suite}</span>}
        </>
      ),
    },
    {
      title: "Idle timer",
      sort: "idle",
      isNumber: true,
      cell: (row) => <Countdown session={row} idleSecs={idleSecs} />,
    },
    { title: "Opened", sort: "opened", isNumber: true, first: "desc", cell: (row) => <Ago time={row.opened} /> },
    { title: "Last value", isNumber: true, cell: (row) => <Sum value={row.last_value} /> },
    { title: "Count", sort: "count", isNumber: true, first: "desc", cell: (row) => <Sum value={row.count} /> },
    { title: "Sum", sort: "sum", isNumber: true, first: "desc", cell: (row) => <Sum value={row.sum} /> },
    {
      title: "Actions",
      isBare: true,
      cell: (row) => (
        <span class="row-actions">
          <a class="button quiet small" href={link(`wire/${row.id}`)} aria-label={`Wire of session ${row.id}`} title="Wire">
            <Icon name="wire" />
          </a>
          <Action
            class="quiet small"
            aria-label={`End session ${row.id}`}
            title="End"
            onAct={() => end(row)}
          >
            <Icon name="close" />
          </Action>
        </span>
      ),
    },
  ];
}

const SOON_SECS = 10;
/** How far behind the page's clock may be: it ticks each second, and knows the server's roughly. */
const BEHIND_SECS = 2;
const BAR = 40;

/** The seconds until the session ends for idleness, and how much of the whole time that is. */
function Countdown({ session, idleSecs }: { session: Session; idleSecs: number }) {
  if (session.state !== "open") {
    return <span class="aside">{session.state === "ending" ? "ending" : "handshake"}</span>;
  }
  if (session.idle_deadline === null) return <span class="aside">stopped</span>;
  const measured = Math.max(0, Math.ceil((Date.parse(session.idle_deadline) - now.value) / 1000));
  // Far beyond it is what a session has left that began before a reload shortened the time.
  const left = measured <= idleSecs + BEHIND_SECS ? Math.min(measured, idleSecs) : measured;
  const part = Math.min(1, left / Math.max(1, idleSecs));
  return (
    <span class={left <= SOON_SECS ? "countdown soon" : "countdown"}>
      <svg width={BAR} height="4" aria-hidden="true">
        <rect class="rail" width={BAR} height="4" rx="2" />
        <rect class="rest" width={Math.max(2, BAR * part)} height="4" rx="2" />
      </svg>
      <span class="countdown-secs">{left}&nbsp;s</span>
    </span>
  );
}

function Nobody({ address }: { address: string }) {
  return (
    <Empty title="Nobody is connected.">
      <p>Open a session from a terminal on this machine:</p>
      <Command>{address === "127.0.0.1:5566" ? "ddes connect" : `ddes connect --server ${address}`}</Command>
      <p>
        A client from elsewhere needs its key on the list: <code>ddes authorize KEY</code>
      </p>
    </Empty>
  );
}

interface Ending {
  onDone: () => void;
  refresh: () => void;
}

function EndOne({ session, onDone, refresh }: Ending & { session: Session }) {
  const [busy, setBusy] = useState(false);
  const end = async () => {
    setBusy(true);
    try {
      await act("POST", `sessions/${session.id}/end`);
      say(`Session ${session.id} ends.`);
    } catch (error) {
      say(`Session ${session.id}: ${words(error)}`, true);
    }
    refresh();
    onDone();
  };
  return (
    <Question
      title={`End session ${session.id}?`}
      yes="End session"
      isDangerous
      isBusy={busy}
      onNo={onDone}
      onYes={() => void end()}
    >
      <p>
        {session.name ?? "A client without a name"}, from <code>{session.peer}</code>, counted{" "}
        {plural(Number(session.count), "value")} in this session.
      </p>
      <Consequences isClassic={session.profile === "classic"} />
    </Question>
  );
}

function Consequences({ isClassic }: { isClassic: boolean }) {
  return (
    <ul>
      <li>Nothing that was counted is lost: it is in the ledger.</li>
      {isClassic ? (
        <li>The client gets a 50 that says an operator ended it.</li>
      ) : (
        <li>The client gets its total once more (40, 50), and sees that an operator ended it.</li>
      )}
      <li>
        It may connect again{isClassic ? "" : ", and then sends what was not confirmed"}. To keep it out, take
        its key off the list: <code>ddes authorize rm</code>.
      </li>
    </ul>
  );
}

function EndAll({ onDone, refresh }: Ending) {
  // The number is the one that the question showed: it does not change under the reader's eyes.
  const [expect, setExpect] = useState(() => overview.peek()?.sessions.open ?? 0);
  const [grown, setGrown] = useState(false);
  const [busy, setBusy] = useState(false);
  const end = async () => {
    setBusy(true);
    try {
      const { ended } = await act<{ ended: number }>("POST", "sessions/end-all", { expect });
      say(`${plural(ended, "session ends", "sessions end")}.`);
    } catch (error) {
      if (error instanceof Refused && error.status === 409) {
        await refreshOverview();
        const open = Number(error.body["open"] ?? overview.peek()?.sessions.open ?? expect);
        setExpect(open);
        setGrown(true);
        setBusy(false);
        return;
      }
      say(words(error), true);
    }
    refresh();
    onDone();
  };
  return (
    <Question
      title={expect === 1 ? "End the one open session?" : `End all ${amount(expect)} sessions?`}
      yes={expect === 1 ? "End 1 session" : `End ${amount(expect)} sessions`}
      isDangerous
      isBusy={busy}
      onNo={onDone}
      onYes={() => void end()}
    >
      {grown && (
        <p class="failed" role="alert">
          Nothing has ended yet: meanwhile there are {plural(expect, "session")}.
        </p>
      )}
      <ul>
        <li>Nothing that was counted is lost: it is in the ledger.</li>
        <li>Each client gets its total once more (40, 50), and sees that an operator ended it.</li>
        <li>
          Clients with something to send connect again by themselves, all at about the same time. To take
          nobody any more, stop the server instead.
        </li>
        <li>The filter does not matter: sessions that it hides end too.</li>
      </ul>
    </Question>
  );
}
