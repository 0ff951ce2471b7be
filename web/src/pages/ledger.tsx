// Ledger: where the counts are kept, whether they still add up, and whether a receipt holds.

import { useEffect, useState } from "preact/hooks";
import { act, words, type Ledger as Answer, type ReceiptAnswer, type Verification } from "../api";
import { useFeed } from "../feed";
import { amount, bytes, duration } from "../numbers";
import { Action, Command, Notice, ReadOnly, say } from "../parts/notice";
import { Ago, Fact, Identifier, Sum } from "../parts/text";

const EVERY_MS = 2_000;
const VERIFYING_MS = 500;

export function Ledger() {
  const feed = useFeed<Answer>("ledger", EVERY_MS);
  const answer = feed.data.value;
  const isVerifying = Boolean(answer?.job);
  useEffect(() => {
    if (!isVerifying) return undefined;
    const timer = setInterval(feed.refresh, VERIFYING_MS);
    return () => clearInterval(timer);
  }, [isVerifying]);
  if (feed.error.value && !answer) return <p class="failed">{feed.error.value}</p>;
  if (!answer) return null;
  return (
    <>
      <Health answer={answer} />
      <ReadOnly />
      <div class="columns two">
        <Place answer={answer} />
        <Verify answer={answer} refresh={feed.refresh} />
        <Receipt />
      </div>
    </>
  );
}

function Health({ answer }: { answer: Answer }) {
  if (answer.health === "full") {
    return (
      <Notice level="critical" title="The ledger has no room: nothing more is counted.">
        Free space on its disk. The server notices within a second, and clients send again what was refused.
      </Notice>
    );
  }
  if (answer.health === "away") {
    return (
      <Notice level="critical" title="The database of the ledger is away: clients wait, and nothing is lost.">
        The server connects again by itself. What waits for more than 30 s is refused, and clients send it again.
      </Notice>
    );
  }
  if (answer.health === "failed") {
    return (
      <Notice level="critical" title="The ledger failed, and refuses for good.">
        A write or a sync failed, or its folder was moved. The server stops. Look at the disk, then:
        <Command>{answer.path ? `ddes ledger verify --ledger ${answer.path}` : "ddes ledger verify"}</Command>
      </Notice>
    );
  }
  if (answer.kind === "memory") {
    return (
      <Notice level="warning" title="The ledger is in memory: its counts end with the server.">
        Start the server without <code>--ledger memory</code> to keep them.
      </Notice>
    );
  }
  return null;
}

function Database({ counts }: { counts: NonNullable<Answer["database"]> }) {
  return (
    <>
      <Fact name="Standby">
        {counts.standby ? "has what is acknowledged" : "none: what is acknowledged is on one disk"}
      </Fact>
      <Fact name="Transactions">
        <Sum value={String(counts.transactions)} />
      </Fact>
      <Fact name="Answers waited for">
        <Sum value={String(counts.round_trips)} />
      </Fact>
      <Fact name="Accounts written by another server meanwhile">
        <Sum value={String(counts.conflicts)} />
      </Fact>
      <Fact name="Transactions done again, outcome unknown">
        <Sum value={String(counts.unknown_outcomes)} />
      </Fact>
      <Fact name="Connections opened">
        <Sum value={String(counts.connections)} />
      </Fact>
    </>
  );
}

function Place({ answer }: { answer: Answer }) {
  const { head } = answer;
  if (answer.kind === "postgres") {
    return (
      <section class="card" aria-labelledby="place">
        <header class="card-head">
          <h2 id="place">In a database</h2>
        </header>
        <dl class="facts">
          {answer.path !== null && (
            <Fact name="Database">
              <Identifier value={answer.path} what="URL" />
            </Fact>
          )}
          {answer.database && <Database counts={answer.database} />}
        </dl>
      </section>
    );
  }
  return (
    <section class="card" aria-labelledby="place">
      <header class="card-head">
        <h2 id="place">On disk</h2>
      </header>
      <dl class="facts">
        {answer.path !== null && (
          <Fact name="Folder">
            <Identifier value={answer.path} what="path" />
          </Fact>
        )}
        <Fact name="Size">{bytes(answer.size_bytes)}</Fact>
        <Fact name="Free on its disk">{bytes(answer.free_bytes)}</Fact>
        <Fact name="Segments">{answer.segments === null ? "–" : amount(answer.segments)}</Fact>
        <Fact name="Head, batch">{head ? <Sum value={String(head.batch)} /> : "none yet"}</Fact>
        {head && (
          <Fact name="Head, chain">
            <Identifier value={head.chain} what="chain value" />
          </Fact>
        )}
        <Fact name="Checkpoint, batch">
          {answer.checkpoint === null ? "none yet" : <Sum value={String(answer.checkpoint)} />}
        </Fact>
      </dl>
    </section>
  );
}

const OUTCOMES = {
  whole: "Whole",
  damaged: "Damaged",
  failed: "Could not be verified",
} as const satisfies Record<Verification["outcome"], string>;

function Verify({ answer, refresh }: { answer: Answer; refresh: () => void }) {
  const { last_verification: last, job } = answer;
  const verify = async () => {
    try {
      await act("POST", "ledger/verify");
      say("The verification runs.");
    } catch (error) {
      say(words(error), true);
    }
    refresh();
  };
  return (
    <section class="card" aria-labelledby="verification">
      <header class="card-head">
        <h2 id="verification">Verification</h2>
        {answer.kind === "folder" && !job && (
          <Action class="primary" onAct={() => void verify()}>
            Verify now
          </Action>
        )}
      </header>
      {job && <Progress done={job.done_batches} all={job.all_batches} />}
      {last ? (
        <>
          <p class={last.outcome === "whole" ? "verdict good" : "verdict bad"}>
            <span class="dot" aria-hidden="true" />
            {OUTCOMES[last.outcome]}
            <span class="aside">
              <Ago time={last.at} />, took {duration(last.took_ms / 1000)}
            </span>
          </p>
          <p>{last.text}</p>
        </>
      ) : (
        !job && (
          <p class="quietly">
            {answer.kind === "memory"
              ? "A ledger in memory has no files to verify."
              : answer.kind === "postgres"
                ? <>A ledger in a database is verified by <code>ddes ledger verify --ledger URL</code>, from a standby too.</>
                : "Not verified since the server started. Verifying reads every batch and computes the chain anew; clients are served meanwhile."}
          </p>
        )
      )}
    </section>
  );
}

function Progress({ done, all }: { done: number; all: number }) {
  const part = all > 0 ? Math.floor((done / all) * 100) : 0;
  return (
    <div class="progress">
      <label for="verified">
        Reading batch {amount(done)} of {amount(all)}
      </label>
      <progress id="verified" value={done} max={Math.max(1, all)} />
      <span class="number">{part} %</span>
    </div>
  );
}

const RECEIPT_MAX = 16_384;

function Receipt() {
  const [text, setText] = useState("");
  const [answer, setAnswer] = useState<ReceiptAnswer | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const check = async () => {
    setFailure(null);
    setAnswer(null);
    try {
      setAnswer(await act<ReceiptAnswer>("POST", "ledger/receipt", { receipt: text }));
    } catch (error) {
      setFailure(words(error));
    }
  };
  const isGood = answer?.outcome === "holds";
  return (
    <section class="card whole" aria-labelledby="receipt">
      <header class="card-head">
        <h2 id="receipt">Check a receipt</h2>
      </header>
      <p class="quietly" id="receipt-hint">
        Paste what <code>ddes ledger receipt NAME</code> printed, with its signature.
      </p>
      <textarea
        rows={8}
        maxLength={RECEIPT_MAX}
        spellcheck={false}
        aria-labelledby="receipt"
        aria-describedby="receipt-hint"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <div class="buttons">
        <Action onAct={() => (text.trim() ? void check() : setFailure("Paste a receipt first."))}>Check</Action>
        <div role="status" class="receipt-answer">
          {answer && (
            <p class={isGood ? "verdict good" : "verdict bad"}>
              <span class="dot" aria-hidden="true" />
              {isGood ? "It holds." : answer.outcome === "unreadable" ? "This is no receipt." : "It does not hold."}{" "}
              <span class="aside">{answer.text}</span>
            </p>
          )}
          {failure && <p class="failed">{failure}</p>}
        </div>
      </div>
    </section>
  );
}
