// Configuration: each value and where it comes from; reloading, the log level, stopping; and what
// this browser keeps for itself.

import { useState } from "preact/hooks";
import { act, Refused, words, type Configuration as Answer, type Entry, type Reloaded } from "../api";
import { overview, useFeed } from "../feed";
import { plural } from "../numbers";
import { shortcuts, theme, type Theme } from "../preference";
import { Action, Question, ReadOnly, say } from "../parts/notice";
import { Rows, type Column } from "../parts/rows";

const EVERY_MS = 5_000;
const LEVELS = ["error", "warn", "info", "debug"];

const shown = (value: unknown): string =>
  value === null || value === undefined ? "–" : Array.isArray(value) ? value.join(", ") : String(value);

export function Configuration() {
  const feed = useFeed<Answer>("config", EVERY_MS);
  const answer = feed.data.value;
  return (
    <>
      <ReadOnly />
      {feed.error.value && <p class="failed">{feed.error.value}</p>}
      {answer && (
        <>
          <Running answer={answer} refresh={feed.refresh} />
          <Values entries={answer.entries} />
        </>
      )}
      <Browser />
    </>
  );
}

function Running({ answer, refresh }: { answer: Answer; refresh: () => void }) {
  const [outcome, setOutcome] = useState<Reloaded | string | null>(null);
  const [stopping, setStopping] = useState(false);
  const reload = async () => {
    try {
      setOutcome(await act<Reloaded>("POST", "config/reload"));
    } catch (error) {
      setOutcome(words(error));
      if (!(error instanceof Refused)) say(words(error), true);
    }
    refresh();
  };
  return (
    <section class="card" aria-labelledby="running">
      <header class="card-head">
        <h2 id="running">Running server</h2>
      </header>
      <p class="quietly">
        {answer.file === null ? (
          "No configuration file: the values are defaults, the environment's and the command line's."
        ) : (
          <>
            Configuration file: <code>{answer.file}</code>
          </>
        )}
      </p>
      <div class="buttons">
        <Action onAct={() => void reload()}>Reload configuration</Action>
        <Level entries={answer.entries} refresh={refresh} />
        <Action class="danger push" onAct={() => setStopping(true)}>
          Stop server…
        </Action>
      </div>
      <div role="status">{outcome !== null && <Outcome outcome={outcome} />}</div>
      {stopping && <Stop onDone={() => setStopping(false)} />}
    </section>
  );
}

function Outcome({ outcome }: { outcome: Reloaded | string }) {
  if (typeof outcome === "string") {
    return <p class="failed">Nothing was changed. {outcome}</p>;
  }
  return (
    <div class="outcome">
      {outcome.changed.length === 0 ? (
        <p>Reloaded: nothing differs from what runs.</p>
      ) : (
        <>
          <p>Reloaded: {plural(outcome.changed.length, "value")} changed.</p>
          <ul>
            {outcome.changed.map((one) => (
              <li key={one.key}>
                <code>{one.key}</code>: {shown(one.from)} → {shown(one.to)}
              </li>
            ))}
          </ul>
        </>
      )}
      {outcome.needs_restart.length > 0 && (
        <p>
          Only after a restart:{" "}
          {outcome.needs_restart.map((key, at) => (
            <>
              {at > 0 && ", "}
              <code>{key}</code>
            </>
          ))}
        </p>
      )}
    </div>
  );
}

/** The key whose value is the level, whatever it is called. */
const isLevel = (entry: Entry): boolean =>
  /(^|[._-])log([._-]?level)?$/.test(entry.key) && LEVELS.includes(String(entry.value));

function Level({ entries, refresh }: { entries: Entry[]; refresh: () => void }) {
  const known = entries.find(isLevel);
  const may = overview.value?.can_act ?? false;
  const [chosen, setChosen] = useState<string | null>(null);
  const change = async (level: string) => {
    try {
      await act("PUT", "log", { level });
      setChosen(level);
      say(`The log level is ${level} until the server restarts or reloads.`);
    } catch (error) {
      say(words(error), true);
    }
    refresh();
  };
  const value = chosen ?? (known ? String(known.value) : "info");
  return (
    <label class="choice">
      Log level{" "}
      <select
        value={value}
        disabled={!may}
        title={may ? undefined : "This browser may look, not act"}
        onChange={(event) => void change(event.currentTarget.value)}
      >
        {LEVELS.map((level) => (
          <option key={level} value={level}>
            {level}
          </option>
        ))}
      </select>
    </label>
  );
}

function Stop({ onDone }: { onDone: () => void }) {
  const [busy, setBusy] = useState(false);
  const [open] = useState(() => overview.peek()?.sessions.open ?? 0);
  const stop = async () => {
    setBusy(true);
    try {
      await act("POST", "stop", { confirm: "stop" });
      say("The server stops, as at SIGTERM.");
    } catch (error) {
      say(words(error), true);
    }
    onDone();
  };
  return (
    <Question title="Stop the server?" yes="Stop server" isDangerous isBusy={busy} onNo={onDone} onYes={() => void stop()}>
      <ul>
        <li>It accepts nobody any more, commits what it has received, and ends {plural(open, "session")}.</li>
        <li>Nothing that was counted is lost; clients keep what was not confirmed, and send it later.</li>
        <li>
          This page cannot start it again. On its machine: <code>ddes serve</code>
        </li>
      </ul>
    </Question>
  );
}

const ORIGINS = {
  flag: "command line",
  environment: "environment",
  file: "file",
  default: "default",
} as const satisfies Record<Entry["origin"], string>;

const COLUMNS: Column<Entry>[] = [
  { title: "Key", isWide: true, cell: (row) => <code>{row.key}</code> },
  { title: "Value", cell: (row) => <span class="value">{shown(row.value)}</span> },
  {
    title: "Origin",
    cell: (row) => (
      <>
        <span class={row.origin === "default" ? "aside" : undefined}>{ORIGINS[row.origin]}</span>
        {row.where !== null && <code class="below">{row.where}</code>}
      </>
    ),
  },
  {
    title: "Takes effect",
    cell: (row) => <span class="aside">{row.reloadable ? "at a reload" : "at a restart"}</span>,
  },
];

function Values({ entries }: { entries: Entry[] }) {
  return (
    <section class="card" aria-labelledby="values">
      <header class="card-head">
        <h2 id="values">Values</h2>
      </header>
      <Rows
        caption="Values of the configuration"
        id={(row) => row.key}
        rows={entries}
        columns={COLUMNS}
      />
    </section>
  );
}

const THEMES: [Theme, string][] = [
  ["system", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

function Browser() {
  return (
    <section class="card" aria-labelledby="browser">
      <header class="card-head">
        <h2 id="browser">This browser</h2>
      </header>
      <fieldset class="radios">
        <legend>Theme</legend>
        {THEMES.map(([value, text]) => (
          <label key={value}>
            <input type="radio" name="theme" checked={theme.value === value} onChange={() => (theme.value = value)} />
            {text}
          </label>
        ))}
      </fieldset>
      <label class="check">
        <input
          type="checkbox"
          checked={shortcuts.value}
          onChange={(event) => (shortcuts.value = event.currentTarget.checked)}
        />
        <span>
          The key <kbd>/</kbd> moves to the filter
        </span>
      </label>
    </section>
  );
}
