// Screenshots of every page into web/shots, to be looked at: `npm run shots [PAGE…]`. With
// `--docs` instead the two that the documentation shows, into docs/images.

import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch, mock, open, PAGES, visit } from "./browser.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "../shots");
mkdirSync(folder, { recursive: true });
const wanted = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const pages = wanted.length > 0 ? wanted : PAGES;
const SIZES = [
  [1440, 900],
  [320, 720],
];
/** Long enough for countdowns, a sparkline and a few frames. */
const LIVE_MS = 2_500;

const servers = {
  none: await mock("--sessions", "0"),
  many: await mock("--sessions", "240", "--accounts", "5000"),
  loud: await mock("--sessions", "3", "--classic", "--allow-any", "--read-only", "--memory"),
};
const browser = await launch();
try {
  if (process.argv.includes("--docs")) await documented(servers.many);
  else for (const [name, server] of Object.entries(servers)) await Promise.all(series(name, server));
} finally {
  await browser.close();
  for (const server of Object.values(servers)) await server.kill();
}

/** Every page of one server: all themes and sizes for the busy one, two of four for the others. */
function series(name, server) {
  return ["light", "dark"].flatMap((scheme) =>
    SIZES.filter(([width]) => name === "many" || (scheme === "dark") === (width === 320)).map((size) =>
      shoot(name, server, scheme, size),
    ),
  );
}

async function shoot(name, server, scheme, [width, height]) {
  const { context, page } = await open(browser, { width, height, scheme });
  for (const path of pages) {
    await visit(page, server.url, path);
    await page.waitForTimeout(LIVE_MS);
    // A page that is as high as the window allows has no whole.
    const fullPage = !["sessions", "accounts", "wire"].includes(path);
    await page.screenshot({ path: join(folder, `${path}-${name}-${scheme}-${width}.png`), fullPage });
  }
  await context.close();
}

async function documented(server) {
  const docs = join(here, "../../docs/images");
  mkdirSync(docs, { recursive: true });
  const { context, page } = await open(browser);
  for (const path of ["overview", "wire"]) {
    await visit(page, server.url, path);
    await page.waitForTimeout(LIVE_MS);
    // The handshake is what a reader of the documentation has not seen yet.
    await page.evaluate(() => document.querySelector(".rungs")?.scrollTo(0, 0));
    await page.screenshot({ path: join(docs, `page-${path}.png`) });
  }
  await context.close();
}
