// What surrounds every page: where to go, which server this is, and whether its numbers are fresh.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { boots, isOutdated, locked, overview, restarted, staleSecs, tick } from "../feed";
import { duration } from "../numbers";
import { isDark, theme } from "../preference";
import { link } from "../route";
import { Icon, type IconName } from "./icon";
import { Results, Whispers } from "./notice";

export interface Place {
  name: IconName & string;
  title: string;
}

const STATES = {
  serving: "Serving",
  draining: "Draining",
  ledger_full: "Ledger full",
  ledger_away: "Ledger away",
  failed: "Failed",
} as const;

export function Shell({ places, here, children }: { places: Place[]; here: Place; children: ComponentChildren }) {
  const [isOpen, setOpen] = useState(false);
  const title = useRef<HTMLHeadingElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${here.title} – ddes`;
    if (isFirst.current) {
      isFirst.current = false;
      return;
    }
    setOpen(false);
    scrollTo(0, 0);
    title.current?.focus({ preventScroll: true });
  }, [here.name]);
  const skip = (event: Event) => {
    event.preventDefault();
    title.current?.focus();
  };
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to content
      </a>
      <header class="side">
        <div class="brand">
          <a class="brand-name" href={link("overview")}>
            <Icon name="brand" />
            ddes
          </a>
          <State />
          <button
            type="button"
            class="quiet menu"
            aria-expanded={isOpen}
            aria-controls="places"
            onClick={() => setOpen(!isOpen)}
          >
            <Icon name={isOpen ? "close" : "menu"} />
            Menu
          </button>
        </div>
        <nav id="places" class={isOpen ? "places is-open" : "places"} aria-label="Pages">
          <ul>
            {places.map((place) => (
              <li key={place.name}>
                <a href={link(place.name)} aria-current={place === here ? "page" : undefined}>
                  <Icon name={place.name} />
                  {place.title}
                </a>
              </li>
            ))}
          </ul>
          <About />
        </nav>
      </header>
      <main id="main" class={staleSecs.value === null ? undefined : "is-stale"}>
        <div class="title">
          <h1 ref={title} tabIndex={-1}>
            {here.title}
          </h1>
          <Freshness />
        </div>
        {locked.value === null ? children : <Locked said={locked.value} />}
      </main>
      <Results />
      <Whispers />
    </>
  );
}

function State() {
  const answer = overview.value;
  if (staleSecs.value !== null) return <Dot level="stale" text="No answer" />;
  if (!answer) return <Dot level="stale" text="Asking" />;
  return <Dot level={answer.health.level} text={STATES[answer.server.state]} />;
}

const Dot = ({ level, text }: { level: string; text: string }) => (
  <span class={`state ${level}`}>
    <span class="dot" aria-hidden="true" />
    {text}
  </span>
);

/** Silence and its end are read out once each; the seconds are only shown. */
function Freshness() {
  const stale = staleSecs.value;
  const isRecent = restarted.value !== null && tick.value - restarted.value < RESTARTED_MS;
  return (
    <div class="freshness">
      <div role="status">
        {stale !== null ? (
          <p class="stale">
            <Icon name="warning" />
            <span>
              {overview.value ? (
                <span aria-hidden="true">Last update {duration(stale)} ago: the server does not answer</span>
              ) : (
                <span aria-hidden="true">The server does not answer since {duration(stale)}</span>
              )}
              <span class="unseen">The server does not answer. The page keeps trying.</span>
            </span>
          </p>
        ) : isOutdated.value ? (
          <p class="again">
            <span>
              The server is now version {overview.value?.server.version}.{" "}
              <button type="button" class="link" onClick={() => location.reload()}>
                Reload the page
              </button>
            </span>
          </p>
        ) : (
          boots.value > 0 && isRecent && <p class="again">The server restarted; the page goes on.</p>
        )}
      </div>
    </div>
  );
}

const RESTARTED_MS = 15_000;

function Locked({ said }: { said: string }) {
  return (
    <div class="empty">
      <p class="empty-title">This server shows its numbers to those it knows.</p>
      <p>{said}</p>
      <p>
        Open the login link that <code>ddes link</code> prints on the server's machine, or{" "}
        <code>link</code> in the server's console.
      </p>
    </div>
  );
}

function About() {
  const server = overview.value?.server;
  return (
    <div class="about">
      {server && (
        <dl>
          <dt>Address</dt>
          <dd>
            <code>{server.address}</code>
          </dd>
          {server.fingerprint !== null && (
            <>
              <dt>Key</dt>
              <dd>
                <code class="fingerprint" title={server.fingerprint}>{server.fingerprint}</code>
              </dd>
            </>
          )}
          <dt>Up</dt>
          <dd>{duration(server.uptime_secs)}</dd>
          <dt>Version</dt>
          <dd>{server.version}</dd>
        </dl>
      )}
      <button
        type="button"
        class="quiet small switch"
        onClick={() => (theme.value = isDark() ? "light" : "dark")}
      >
        <Icon name={isDark() ? "sun" : "moon"} />
        {isDark() ? "Light theme" : "Dark theme"}
      </button>
    </div>
  );
}
