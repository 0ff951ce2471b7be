// Where the page is: the part of the address behind the #, as #/sessions?q=anna&sort=sum. It holds
// the filter and the order of rows, so that a link shows what its sender saw.

import { signal } from "@preact/signals";

export interface Route {
  /** The name of the page, and what follows it: ["wire", "12"]. */
  path: string[];
  fields: URLSearchParams;
}

function read(): Route {
  const [path = "", search = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { path: path.split("/").filter(Boolean), fields: new URLSearchParams(search) };
}

export const route = signal<Route>(read());

addEventListener("hashchange", () => {
  route.value = read();
});

export function link(path: string, fields?: Record<string, string>): string {
  const search = new URLSearchParams(fields).toString();
  return search ? `#/${path}?${search}` : `#/${path}`;
}

export function go(path: string): void {
  location.hash = link(path);
}

/** Changes fields in place: going back leads to the page before, not to the letter before. */
export function change(fields: Record<string, string | null>): void {
  const next = new URLSearchParams(route.value.fields);
  for (const [key, value] of Object.entries(fields)) {
    if (value === null || value === "") next.delete(key);
    else next.set(key, value);
  }
  const path = route.value.path;
  const search = next.toString();
  history.replaceState(null, "", search ? `#/${path.join("/")}?${search}` : `#/${path.join("/")}`);
  route.value = { path, fields: next };
}
