// Screenshots of the documentation's pages into web/shots, to be looked at: `npm run shots-book`, of
// the site in the folder BOOK, or the pages that are named.

import { mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { launch, open } from "../test/browser.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const book = resolve(process.env["BOOK"] ?? join(here, "../../target/book"));
const folder = join(here, "../shots");
mkdirSync(folder, { recursive: true });
const named = process.argv.slice(2);
const pages = named.length > 0 ? named : ["index.html", "PROTOCOL.html", "docs/guide.html", "docs/course/exercise-03.html"];

const browser = await launch();
for (const scheme of ["light", "dark"]) {
  for (const [width, height] of [[1280, 900], [360, 740]]) {
    const { context, page } = await open(browser, { width, height, scheme });
    for (const name of pages) {
      await page.goto(pathToFileURL(join(book, name)).href);
      const to = `book-${name.replaceAll("/", "-").replace(".html", "")}-${scheme}-${width}.png`;
      await page.screenshot({ path: join(folder, to) });
    }
    await context.close();
  }
}
await browser.close();
