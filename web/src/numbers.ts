// How numbers, times and durations are written. Digits of sums stay strings throughout.

import type { Digits } from "./api";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });

/** Groups are gaps, as in sums, and not commas, which are decimal points to half of the world. */
const gaps = (text: string): string => text.replaceAll(",", "\u202f");

/** A number that a person counts: 12 345; below 10 with one decimal place. */
export function amount(value: number): string {
  return gaps(value < 10 && !Number.isInteger(value) ? short.format(value) : whole.format(value));
}

export const mean = (value: number | null): string => (value === null ? "–" : gaps(fine.format(value)));

/** The sign, and the digits in groups of three. */
export function groups(digits: Digits): { sign: string; groups: string[] } {
  const sign = digits.startsWith("-") ? "-" : "";
  const rest = sign ? digits.slice(1) : digits;
  const first = rest.length % 3;
  const parts = first > 0 ? [rest.slice(0, first)] : [];
  for (let at = first; at < rest.length; at += 3) parts.push(rest.slice(at, at + 3));
  return { sign, groups: parts };
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

export function bytes(value: number | null): string {
  if (value === null) return "–";
  let at = 0;
  while (value >= 1000 && at < UNITS.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${amount(value)}\u00a0${UNITS[at]}`;
}

export function micros(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value < 1000) return `${amount(value)}\u00a0µs`;
  if (value < 1_000_000) return `${three(value / 1000)}\u00a0ms`;
  return `${three(value / 1_000_000)}\u00a0s`;
}

/** Three digits that say something: 1.25, 12.5, 125. */
function three(value: number): string {
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : amount(value);
}

/** The two largest units: 3 d 4 h, 12 min 5 s, 42 s. */
export function duration(seconds: number): string {
  const total = Math.max(0, Math.floor(seconds));
  const parts: [number, string][] = [
    [Math.floor(total / 86_400), "d"],
    [Math.floor(total / 3600) % 24, "h"],
    [Math.floor(total / 60) % 60, "min"],
    [total % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0\u00a0s";
  const shown = parts.slice(first, first + 2).filter(([count], at) => at === 0 || count > 0);
  return shown.map(([count, unit]) => `${count}\u00a0${unit}`).join(" ");
}

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-CA");

export const date = (time: string): string => day.format(new Date(time));

/** The time of today, else the date and the time. */
export function moment(time: string | null, now: number): string {
  if (time === null) return "–";
  const at = new Date(time);
  const isToday = day.format(at) === day.format(now);
  return isToday ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
}

export const timeOfDay = (at: number): string => clock.format(at);

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${amount(count)} ${count === 1 ? one : many}`;
