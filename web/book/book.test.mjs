// The documentation as a site (`cargo xtask book`, in the folder BOOK), in a browser: no finding of
// axe, nothing that the browser complains about, no request to anywhere else, no scrolling sideways,
// and a search that finds. BOOK_PAGES=all looks at each page, else at one of each kind.

import assert from "node:assert/strict";
import { createReadStream, existsSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, relative } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import axe from "axe-core";
import { launch, open } from "../test/browser.mjs";

const BOOK = process.env["BOOK"];
assert.ok(BOOK && existsSync(join(BOOK, "index.html")), "BOOK is a folder that `cargo xtask book` made");
/** A site that is not at the root of its host has no link that begins there. */
const BELOW = "/some/where/";
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
/** The dark page differs from the light one by its colours alone: by what these rules look at. */
const COLOUR_RULES = ["color-contrast", "link-in-text-block"];
/** Pictures and tables, drawings, wide tables, tables without headings, nested lists, code, figures, a crate's page. */
const SOME = [
  "index.html",
  "PROTOCOL.html",
  "docs/guide.html",
  "docs/benchmarks.html",
  "docs/scale.html",
  "docs/decisions/index.html",
  "docs/course/exercise-08.html",
  "crates/client/index.html",
];
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json" };

const every = readdirSync(BOOK, { recursive: true })
  .filter((name) => name.endsWith(".html"))
  .map((name) => relative(".", name).replaceAll("\\", "/"))
  .sort();
const pages = process.env["BOOK_PAGES"] === "all" ? every : SOME;

let browser;
let server;
let base;
before(async () => {
  browser = await launch();
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const file = join(BOOK, pathname.slice(BELOW.length));
    if (!pathname.startsWith(BELOW) || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader("content-type", TYPES[extname(file)] ?? "text/plain; charset=utf-8");
    createReadStream(file).pipe(response);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  base = `http://127.0.0.1:${server.address().port}${BELOW}`;
});
after(async () => {
  await browser.close();
  server.closeAllConnections();
  server.close();
});

/** A window that also notes requests to anywhere else. */
async function look(looks) {
  const opened = await open(browser, looks);
  opened.page.on("request", (request) => {
    const url = request.url();
    const isOurs = [base, pathToFileURL(BOOK).href, "data:"].some((start) => url.startsWith(start));
    if (!isOurs) opened.complaints.push(`asks for ${url}`);
  });
  return opened;
}

/** What axe finds on the page as it is. */
async function findings(page, rules) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(
    // What it would load again, pages of files may not load.
    (runOnly) => globalThis.axe.run(document, { runOnly, resultTypes: ["violations"], preload: false }),
    rules,
  );
  return found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target} ${node.failureSummary}`));
}

/** What makes the page wider than its window; a region that scrolls by itself does not. */
function overhang(page) {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const wide = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > width + 1);
    return wide.slice(-3).map((element) => `wider than the window: ${element.outerHTML.slice(0, 160)}`);
  });
}

/** Pictures that nobody sees. */
function hidden(page) {
  return page.evaluate(() => {
    const small = [...document.querySelectorAll("main img")].filter((picture) => picture.clientWidth < 200 || picture.clientHeight < 50);
    return small.map((picture) => `too small to be seen: ${picture.outerHTML.slice(0, 160)}`);
  });
}

/** Types into the search, and returns the results' links. */
async function search(page, words) {
  await page.keyboard.press("/");
  await page.keyboard.type(words);
  await page.locator("#found:not([hidden]) li a").first().waitFor();
  return page.locator("#found li a").all();
}

for (const { scheme, width, rules } of [
  { scheme: "light", width: 1280, rules: RULES },
  { scheme: "light", width: 360, rules: RULES },
  { scheme: "dark", width: 1280, rules: COLOUR_RULES },
]) {
  test(`${pages.length} pages, ${scheme}, ${width} px`, async () => {
    const { context, page, complaints } = await look({ width, scheme });
    const found = [];
    for (const name of pages) {
      await page.goto(base + name);
      for (const finding of [...(await overhang(page)), ...(await hidden(page)), ...(await findings(page, rules))]) {
        found.push(`${name}: ${finding}`);
      }
    }
    assert.deepEqual([...found, ...complaints], []);
    await context.close();
  });
}

test("the search finds replay, and leads to it", async () => {
  for (const start of [base, `${pathToFileURL(BOOK).href}/`]) {
    const { context, page, complaints } = await look({ width: 1280 });
    await page.goto(`${start}docs/guide.html`);
    const results = await search(page, "replay");
    assert.ok(results.length >= 5, `${results.length} results`);
    assert.match(await page.locator("#found [role=status]").textContent(), /found|first/);
    for (const result of results) assert.match((await result.textContent()).toLowerCase(), /repla/);
    assert.deepEqual(await findings(page, RULES), []);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => !url.href.includes("guide.html"));
    assert.match((await page.locator("main").textContent()).toLowerCase(), /replay/);
    assert.deepEqual(complaints, []);
    await context.close();
  }
});

test("a search without a result says so, and Escape ends it", async () => {
  const { context, page, complaints } = await look({ width: 360 });
  await page.goto(`${base}index.html`);
  await page.locator("#search").fill("xylophone");
  await page.locator("#found [role=status]", { hasText: "Nothing" }).waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#found").waitFor({ state: "hidden" });
  assert.deepEqual(complaints, []);
  await context.close();
});

test("on a phone the contents open, lead to a page, and say where the reader is", async () => {
  const { context, page, complaints } = await look({ width: 360, scheme: "dark" });
  await page.goto(`${base}index.html`);
  const contents = page.getByRole("navigation", { name: "Contents" });
  assert.equal(await contents.count(), 0);
  await page.getByRole("button", { name: "Contents" }).click();
  assert.deepEqual(await findings(page, RULES), []);
  await contents.getByRole("link", { name: "Protocol" }).click();
  await page.waitForURL(`${base}PROTOCOL.html`);
  await page.getByRole("button", { name: "Contents" }).click();
  assert.equal(await contents.locator("[aria-current=page]").textContent(), "Protocol");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a chosen theme stays on the next page", async () => {
  const { context, page } = await look({ width: 1280, scheme: "light" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.goto(`${base}index.html`);
  const light = await ground();
  await page.getByRole("button", { name: "Dark" }).click();
  const dark = await ground();
  assert.notEqual(light, dark);
  await page.goto(`${base}docs/guide.html`);
  assert.equal(await ground(), dark);
  await page.getByRole("button", { name: "Light" }).waitFor();
  await context.close();
});

test("without scripts each page is whole, and has its contents", async () => {
  const { context, page } = await look({ width: 1280, javaScriptEnabled: false });
  await page.goto(`${base}PROTOCOL.html`);
  await page.getByRole("link", { name: "Guide", exact: true }).click();
  await page.waitForURL(`${base}docs/guide.html`);
  await page.getByRole("heading", { level: 1, name: "Guide" }).waitFor();
  await context.close();
});

test("a page prints without what surrounds it", async () => {
  const { context, page } = await look({ width: 1280, scheme: "dark" });
  await page.goto(`${base}PROTOCOL.html`);
  await page.emulateMedia({ media: "print" });
  assert.equal(await page.locator(".side").isVisible(), false);
  assert.equal(await page.locator("main").isVisible(), true);
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(ground, "rgb(255, 255, 255)");
  // A4 at 96 dots an inch, within margins of 1 cm.
  await page.setViewportSize({ width: 718, height: 1000 });
  assert.deepEqual(await overhang(page), []);
  const cut = await page.evaluate(() =>
    [...document.querySelectorAll("main pre, main .table-wrapper")].filter((box) => box.scrollWidth > box.clientWidth + 1).length,
  );
  assert.equal(cut, 0, "what scrolls on a screen is cut off on paper");
  assert.ok((await page.pdf({ format: "A4" })).length > 20_000);
  await context.close();
});
