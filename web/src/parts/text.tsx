// Digits, times and identifiers as they stand in a line.

import { Fragment, type ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Digits } from "../api";
import { now } from "../feed";
import { date, duration, groups, moment } from "../numbers";
import { Icon } from "./icon";

/** All digits of a sum. The groups are gaps and no characters: what is copied is the number. */
export function Sum({ value }: { value: Digits | number | null }) {
  if (value === null) return <span class="none">–</span>;
  const digits = String(value);
  if (digits.length <= 3) return <span class="sum">{digits}</span>;
  const { sign, groups: parts } = groups(digits);
  return (
    <span class="sum">
      {sign}
      {parts.map((part, at) => (
        <Fragment key={at}>
          {at > 0 && <wbr />}
          <span>{part}</span>
        </Fragment>
      ))}
    </span>
  );
}

/** A name_of_words, which may break between its words. */
export function Words({ text }: { text: string }) {
  const parts = text.split("_");
  return (
    <code>
      {parts.map((part, at) => (
        <Fragment key={at}>
          {at > 0 && "_"}
          {at > 0 && <wbr />}
          {part}
        </Fragment>
      ))}
    </code>
  );
}

/** How long ago, with the exact time at hand. */
export function Ago({ time }: { time: string | null }) {
  if (time === null) return <span class="none">–</span>;
  const secs = (now.value - Date.parse(time)) / 1000;
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {secs < 1 ? "now" : `${duration(secs).split(" ")[0]} ago`}
    </time>
  );
}

export function At({ time }: { time: string | null }) {
  if (time === null) return <span class="none">–</span>;
  return (
    <time dateTime={time} title={time}>
      {moment(time, now.value)}
    </time>
  );
}

/** The day alone, with the exact time at hand. */
export function Day({ time }: { time: string | null }) {
  if (time === null) return <span class="none">–</span>;
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {date(time)}
    </time>
  );
}

/** A line of a list of figures. */
export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const COPIED_MS = 2_000;

/** An identifier, shortened in its middle where room is short; the button copies all of it. */
export function Identifier({ value, what }: { value: string; what: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      // Without a secure context there is no clipboard; the text can still be selected.
      return;
    }
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED_MS);
  };
  return (
    <span class="identifier">
      <code title={value}>{value}</code>
      <button type="button" class="quiet small" onClick={copy} aria-label={copied ? `${what}: copied` : `Copy ${what}`}>
        <Icon name={copied ? "good" : "copy"} />
      </button>
    </span>
  );
}
