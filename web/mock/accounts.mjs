// Up to millions of made-up accounts: what an account holds follows from its number, so that only
// the orders are kept.

import { BIG, fingerprint, iso } from "./world.mjs";

const NAMED = 3;

/** The same number for the same account and purpose, spread over 0..1. */
function spread(number, purpose) {
  let mixed = Math.imul(number + 1, 2654435761) ^ Math.imul(purpose, 40503);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, 2246822519);
  mixed ^= mixed >>> 13;
  return (mixed >>> 0) / 4294967296;
}

export class Books {
  constructor(all, world) {
    this.all = all;
    this.world = world;
    this.orders = new Map();
    this.born = Date.now();
  }

  count(number) {
    return 1 + Math.floor(spread(number, 1) * 10_000);
  }

  mean(number) {
    return Math.round(spread(number, 2) * 4_000 - 1_000) + 0.25;
  }

  key(number, sort) {
    switch (sort) {
      case "count": return this.count(number);
      case "mean": return this.mean(number);
      case "min": return -spread(number, 3);
      case "max": return spread(number, 4);
      case "first_seen": return spread(number, 5);
      case "last_seen": return spread(number, 6);
      case "sum": return number === 0 ? Infinity : this.count(number) * this.mean(number);
      default: return number;
    }
  }

  name(number) {
    return number % NAMED === 0 ? `device-${String(number).padStart(6, "0")}` : null;
  }

  account(number) {
    const count = this.count(number);
    const mean = this.mean(number);
    const lively = number < 50 ? BigInt(Math.floor((Date.now() - this.born) / 700) * (number + 1)) : 0n;
    const sum = number === 0 ? BIG - 1_000_000n + lively : BigInt(Math.round(count * mean)) + lively;
    return {
      id: number % 11 === 10 ? `classic-${number}` : fingerprint(number),
      name: this.name(number),
      kind: number % 11 === 10 ? "classic" : "identity",
      count: String(count),
      sum: String(sum),
      mean,
      min: String(-Math.floor(spread(number, 3) * 9e6)),
      max: String(Math.floor(spread(number, 4) * 9e6)),
      first_seen: iso(this.born - Math.floor(spread(number, 5) * 9e10) - 864e5),
      last_seen: iso(this.born - Math.floor(spread(number, 6) * 864e5)),
      open: number < this.world.wanted,
    };
  }

  order(sort) {
    const known = this.orders.get(sort);
    if (known) return known;
    const keys = new Float64Array(this.all);
    for (let at = 0; at < this.all; at += 1) keys[at] = this.key(at, sort);
    const order = new Uint32Array(this.all);
    for (let at = 0; at < this.all; at += 1) order[at] = at;
    order.sort((a, b) => keys[a] - keys[b]);
    this.orders.set(sort, order);
    return order;
  }

  page({ q, sort, order, limit, offset }) {
    const numbers = this.order(sort);
    let matching = numbers;
    if (q) {
      matching = [];
      for (const number of numbers) {
        if (number % NAMED === 0 && `device-${String(number).padStart(6, "0")}`.includes(q)) matching.push(number);
        else if (q.startsWith("SHA256:") && fingerprint(number).includes(q)) matching.push(number);
      }
    }
    const accounts = [];
    for (let at = offset; at < Math.min(matching.length, offset + limit); at += 1) {
      const place = order === "desc" ? matching.length - 1 - at : at;
      accounts.push(this.account(matching[place]));
    }
    return { complete: true, total: matching.length, all: this.all, accounts };
  }

  find(id) {
    for (let number = 0; number < Math.min(this.all, 5_000); number += 1) {
      if ((number % 11 === 10 ? `classic-${number}` : fingerprint(number)) === id) return this.account(number);
    }
    for (const number of this.order("last_seen").slice(-500)) {
      if (fingerprint(number) === id) return this.account(number);
    }
    return null;
  }
}
