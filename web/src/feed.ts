// What the server said last, and when. One request for the overview each second serves every page;
// each page asks for its own rows. Nothing is asked while the page is hidden.

import { computed, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { get, Refused, words, type Answer, type Overview } from "./api";

const OVERVIEW_MS = 1_000;
/** Numbers older than this are marked. */
const STALE_MS = 3_500;

/** The clock of this machine, each second. */
export const tick = signal(Date.now());
/** How far the server's clock is ahead of this machine's. */
const ahead = signal(0);
/** The server's clock, as far as this page knows it. */
export const now: ReadonlySignal<number> = computed(() => tick.value + ahead.value);

export const overview = signal<Overview | null>(null);
const answered = signal<number | null>(null);
const opened = Date.now();
/** The server wants a token or a cookie, and says how to get one. */
export const locked = signal<string | null>(null);
/** When this page saw another process answer at the same address. */
export const restarted = signal<number | null>(null);
/** Counts the processes seen. What was collected from an older one is not continued. */
export const boots = signal(0);

/** The version that this page belongs to: its files came from that server. */
let ours: string | null = null;
/** Another version answers now: its answers may differ from what this page reads. */
export const isOutdated = signal(false);

export const canAct = computed(() => overview.value?.can_act ?? false);

/** For how many seconds the numbers are older than they should be. */
export const staleSecs = computed(() => {
  const age = tick.value - (answered.value ?? opened);
  return age > STALE_MS ? Math.round(age / 1000) : null;
});

function note(answer: Overview): void {
  const before = overview.value;
  const at = Date.now();
  if (answer.as_of) {
    const difference = Date.parse(answer.as_of) - at;
    // Below a quarter of a second it is the way of the answer, and countdowns would stumble.
    if (Math.abs(difference - ahead.value) > 250) ahead.value = difference;
  }
  if (before && before.server.boot !== answer.server.boot) {
    restarted.value = at;
    boots.value += 1;
  }
  ours ??= answer.server.version;
  isOutdated.value = answer.server.version !== ours;
  overview.value = answer;
  answered.value = at;
  locked.value = null;
}

let asking = false;

export async function refreshOverview(): Promise<void> {
  if (asking) return;
  asking = true;
  try {
    note(await get<Overview>("overview"));
  } catch (error) {
    if (error instanceof Refused && [401, 403].includes(error.status)) locked.value = error.message;
  } finally {
    asking = false;
  }
}

export function start(): void {
  void refreshOverview();
  setInterval(() => {
    tick.value = Date.now();
    if (!document.hidden) void refreshOverview();
  }, OVERVIEW_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    tick.value = Date.now();
    void refreshOverview();
  });
}

export interface Feed<T> {
  /** The newest answer, which may belong to the path before while the next is on its way. */
  data: Signal<T | null>;
  error: Signal<string | null>;
  /** The path that `data` answers. */
  path: Signal<string | null>;
  refresh: () => void;
}

/**
 * Asks for `path` now, whenever it changes, and every `everyMs`. A newer question cancels the one
 * under way, so that answers never arrive in the wrong order.
 */
export function useFeed<T extends Answer>(path: string, everyMs: number): Feed<T> {
  const feed = useMemo(() => new Asker<T>(everyMs), []);
  useEffect(() => feed.ask(path), [path]);
  useEffect(() => feed.keepAsking(), []);
  return feed;
}

class Asker<T extends Answer> implements Feed<T> {
  readonly data = signal<T | null>(null);
  readonly error = signal<string | null>(null);
  readonly path = signal<string | null>(null);
  private wanted = "";
  private running: AbortController | null = null;

  constructor(private readonly everyMs: number) {}

  ask(path: string): void {
    this.wanted = path;
    void this.send();
  }

  readonly refresh = (): void => void this.send();

  keepAsking(): () => void {
    const timer = setInterval(() => {
      if (!document.hidden && !this.running) void this.send();
    }, this.everyMs);
    const boot = boots.peek();
    const stop = boots.subscribe((seen) => {
      if (seen !== boot) void this.send();
    });
    return () => {
      clearInterval(timer);
      stop();
      this.running?.abort();
    };
  }

  private async send(): Promise<void> {
    if (!this.wanted) return;
    this.running?.abort();
    const mine = new AbortController();
    this.running = mine;
    const path = this.wanted;
    try {
      const answer = await get<T>(path, mine.signal);
      if (mine.signal.aborted) return;
      this.data.value = answer;
      this.path.value = path;
      this.error.value = null;
    } catch (error) {
      if (mine.signal.aborted) return;
      // Silence is marked for the whole page; a refusal concerns this question.
      this.error.value = error instanceof Refused ? words(error) : null;
    } finally {
      if (this.running === mine) this.running = null;
    }
  }
}
