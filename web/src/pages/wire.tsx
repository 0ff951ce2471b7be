// Wire: the messages of one session as they happen, between two lanes; what each is for, and what
// somebody on the path sees of it.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { act, get, words, type Frame, type Trace, type Traces, type Wire as Answer } from "../api";
import { boots, useFeed } from "../feed";
import { amount, bytes, micros, plural } from "../numbers";
import { link, route } from "../route";
import { Icon } from "../parts/icon";
import { Action, Command, Empty, ReadOnly, say } from "../parts/notice";
import { Ago } from "../parts/text";

const TRACES_MS = 1_000;
const FRAMES_MS = 400;
/** What stays on the page; older frames are counted. */
const FRAMES_MAX = 300;

const profiles = { v2: "D-DDES/2", classic: "Classic", undecided: "Undecided" } as const;

export function Wire() {
  const feed = useFeed<Traces>("wire", TRACES_MS);
  const traces = feed.data.value?.traces ?? null;
  const stated = route.value.path[1];
  const wanted = stated === undefined ? null : Number(stated);
  // Without a choice: the newest that is open. It stays until another is chosen or it is gone.
  const followed = useRef<number | null>(null);
  if (wanted === null && traces && !traces.some((trace) => trace.id === followed.current)) {
    followed.current = newest(traces)?.id ?? null;
  }
  const id = wanted ?? followed.current;
  const trace = traces?.find((one) => one.id === id) ?? null;
  if (feed.error.value && !traces) return <p class="failed">{feed.error.value}</p>;
  if (!traces) return null;
  if (traces.length === 0 && id === null) {
    return (
      <Empty title="No session to look into.">
        <p>The server traces the newest 16 connections. Make one, and watch it here as it happens:</p>
        <Command>ddes send 50 8</Command>
      </Empty>
    );
  }
  return (
    <>
      <ReadOnly />
      <div class="wire">
        <TraceList traces={traces} id={id} />
        {id !== null && Number.isSafeInteger(id) && (
          <Ladder key={`${id} ${boots.value}`} id={id} trace={trace} refresh={feed.refresh} />
        )}
      </div>
    </>
  );
}

function newest(traces: Trace[]): Trace | undefined {
  const sorted = traces.toSorted((a, b) => b.id - a.id);
  return sorted.find((trace) => trace.pinned) ?? sorted.find((trace) => trace.ended === null) ?? sorted[0];
}

function TraceList({ traces, id }: { traces: Trace[]; id: number | null }) {
  const sorted = traces.toSorted((a, b) => Number(b.pinned) - Number(a.pinned) || b.id - a.id);
  return (
    <nav class="traces" aria-label="Traced sessions">
      <ul>
        {sorted.map((trace) => (
          <li key={trace.id}>
            <a href={link(`wire/${trace.id}`)} aria-current={trace.id === id ? "true" : undefined}>
              <span class="trace-name">
                <span class={trace.ended === null ? "dot live" : "dot"} aria-hidden="true" />#{trace.id}{" "}
                {trace.name ?? ""}
                {trace.pinned && <Icon name="pin" />}
                {trace.pinned && <span class="unseen">, pinned</span>}
              </span>
              <span class="aside">
                {trace.ended === null ? amount(trace.frames) : "ended"}
                {trace.ended === null && <span class="unseen"> frames</span>}
              </span>
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

class Tape {
  readonly frames = signal<Frame[]>([]);
  readonly about = signal<Answer | null>(null);
  readonly failure = signal<string | null>(null);
  /** How many frames were left out: by the server, or for room on the page. */
  readonly missing = signal(0);
  /** Of all frames seen: how many of each opcode. */
  readonly counts = signal<Record<number, number>>({});
  private after = -1;
  private asking = false;

  constructor(private readonly id: number) {}

  async ask(stop: AbortSignal): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    try {
      const path = this.after < 0 ? `wire/${this.id}` : `wire/${this.id}?after=${this.after}`;
      this.take(await get<Answer>(path, stop));
    } catch (error) {
      if (!stop.aborted) this.failure.value = words(error);
    } finally {
      this.asking = false;
    }
  }

  private take(answer: Answer): void {
    this.failure.value = null;
    this.about.value = answer;
    const fresh = answer.frames.filter((frame) => frame.seq > this.after);
    const last = fresh[fresh.length - 1];
    if (!last) return;
    this.after = last.seq;
    const counts = { ...this.counts.value };
    for (const { opcode } of fresh) counts[opcode] = (counts[opcode] ?? 0) + 1;
    this.counts.value = counts;
    this.frames.value = [...this.frames.value, ...fresh].slice(-FRAMES_MAX);
    const first = this.frames.value[0];
    this.missing.value = Math.max(answer.dropped, first ? first.seq - 1 : 0);
  }
}

function Ladder({ id, trace, refresh }: { id: number; trace: Trace | null; refresh: () => void }) {
  const tape = useMemo(() => new Tape(id), []);
  const [paused, setPaused] = useState<Frame[] | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    void tape.ask(stop.signal);
    const timer = setInterval(() => {
      if (!document.hidden) void tape.ask(stop.signal);
    }, FRAMES_MS);
    return () => {
      clearInterval(timer);
      stop.abort();
    };
  }, []);
  const about = tape.about.value;
  const live = tape.frames.value;
  const frames = paused ?? live;
  const waiting = paused ? live.filter((frame) => frame.seq > (paused[paused.length - 1]?.seq ?? -1)).length : 0;
  if (!about) return <section class="ladder">{tape.failure.value && <Gone id={id} said={tape.failure.value} refresh={refresh} />}</section>;
  return (
    <section class="ladder card" aria-labelledby="ladder">
      <header class="ladder-head">
        <h2 id="ladder">
          Session {id}
          {trace?.name && <span> {trace.name}</span>}
        </h2>
        <span class="aside">
          {profiles[about.profile]}, <code>{about.peer}</code>
          {about.ended !== null && (
            <>
              , ended <Ago time={about.ended} />
            </>
          )}
        </span>
        <span class="push together">
          <Pin id={id} isPinned={trace?.pinned ?? false} refresh={refresh} />
          <button type="button" aria-pressed={paused !== null} onClick={() => setPaused(paused ? null : live)}>
            <Icon name={paused ? "play" : "pause"} />
            {paused ? "Resume" : "Pause"}
          </button>
        </span>
      </header>
      <Steps counts={tape.counts.value} ended={about.ended !== null} />
      {paused && (
        <p class="paused" role="status">
          Paused{waiting > 0 ? `; ${plural(waiting, "frame")} more since` : ""}.
        </p>
      )}
      <div class="lanes" aria-hidden="true">
        <span class="lane-time">Time</span>
        <span class="lane-client">Client</span>
        <span class="lane-server">Server</span>
        <span class="lane-note">What it is for</span>
        <span class="lane-seen">
          <Icon name="eye" />
          What an eavesdropper sees
        </span>
      </div>
      {(!about.from_start || tape.missing.value > 0) && (
        <p class="missing">
          {tape.missing.value > 0
            ? `${plural(tape.missing.value, "earlier frame is", "earlier frames are")} not shown.`
            : "Its first frames are not known: the trace began later."}
        </p>
      )}
      <Rungs frames={frames} />
      {frames.length === 0 && <p class="quietly">No frame yet.</p>}
    </section>
  );
}

function Gone({ id, said, refresh }: { id: number; said: string; refresh: () => void }) {
  return (
    <Empty title={`Session ${id} is not traced.`}>
      <p>{said}</p>
      <p class="choices">
        <Pin id={id} isPinned={false} refresh={refresh} text="Trace it from now on" />
        <a href={link("wire")}>Follow the newest instead</a>
      </p>
    </Empty>
  );
}

function Pin(props: { id: number; isPinned: boolean; refresh: () => void; text?: string }) {
  const { id, isPinned, refresh } = props;
  const turn = async () => {
    try {
      await act(isPinned ? "DELETE" : "POST", `wire/${id}/pin`);
      say(isPinned ? `Session ${id} is no longer pinned.` : `Session ${id} is pinned: its trace stays.`);
    } catch (error) {
      say(words(error), true);
    }
    refresh();
  };
  return (
    <Action aria-pressed={props.text === undefined ? isPinned : undefined} onAct={() => void turn()}>
      <Icon name="pin" />
      {props.text ?? (isPinned ? "Unpin" : "Pin")}
    </Action>
  );
}

const STEPS: [number, string][] = [
  [10, "Keys"],
  [20, "Token"],
  [30, "Data"],
  [40, "Result"],
  [50, "End"],
];

/** How far the session is: the opcodes in their order, and how often each came. */
function Steps({ counts, ended }: { counts: Record<number, number>; ended: boolean }) {
  return (
    <ol class="steps" aria-label="Opcodes seen">
      {STEPS.map(([opcode, name]) => {
        const count = counts[opcode] ?? 0;
        return (
          <li key={opcode} class={count > 0 ? "step reached" : "step"}>
            <span class="opcode">{opcode}</span>
            <span>{name}</span>
            <span class="step-count">
              {count > 0 ? `×\u2009${amount(count)}` : opcode === 50 && ended ? "none" : ""}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

function Rungs({ frames }: { frames: Frame[] }) {
  const end = useRef<HTMLOListElement>(null);
  const follows = useRef(true);
  useEffect(() => {
    const list = end.current;
    if (list && follows.current) list.scrollTop = list.scrollHeight;
  }, [frames]);
  const watch = (event: Event) => {
    const list = event.currentTarget as HTMLElement;
    // Whoever scrolls back reads; at the end the page follows again.
    follows.current = list.scrollHeight - list.scrollTop - list.clientHeight < 48;
  };
  return (
    <ol class="rungs" ref={end} onScroll={watch} tabIndex={0} aria-label="Frames, oldest first">
      {frames.map((frame, at) => (
        <Rung key={frame.seq} frame={frame} before={frames[at - 1]} />
      ))}
    </ol>
  );
}

function Rung({ frame, before }: { frame: Frame; before: Frame | undefined }) {
  const isIn = frame.direction === "in";
  const since = before ? frame.micros_since_open - before.micros_since_open : null;
  return (
    <li class={`rung ${frame.direction}${frame.encrypted ? "" : " clear"}`}>
      <span class="rung-time">
        <span class="unseen">At </span>
        {micros(frame.micros_since_open)}
        {since !== null && <span class="rung-since">+{micros(since)}</span>}
      </span>
      <span class="rung-arrow">
        <span class="unseen">{isIn ? "Client to server: " : "Server to client: "}</span>
        <span class="line" aria-hidden="true" />
        <span class="rung-label">
          <span class="opcode">{frame.opcode}</span> {frame.name}
        </span>
        <span class="rung-size">
          <Icon name={frame.encrypted ? "locked" : "open"} />
          {frame.bytes < 10_000 ? `${amount(frame.bytes)}\u00a0B` : bytes(frame.bytes)}{" "}
          {frame.encrypted ? "encrypted" : "in the clear"}
        </span>
      </span>
      <span class="rung-note">{frame.note}</span>
      <span class="rung-seen">
        <span class="unseen">An eavesdropper sees: </span>
        {frame.seen}
      </span>
    </li>
  );
}
