// Screenshots of the pages into explain/shots, to be looked at: `npm run shots-explain [NAME…]`;
// with `--docs` instead the one that the README shows, into docs/images.

import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch, open } from "../../test/browser.mjs";
import { makePages } from "./pages.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "../shots");
mkdirSync(folder, { recursive: true });
const pages = await makePages();
const isForDocs = process.argv.includes("--docs");
const wanted = process.argv.slice(2).filter((word) => word !== "--docs");
const names = wanted.length > 0 ? wanted : ["classic", "hybrid", "beside", "wire"];
const browser = await launch();
try {
  if (isForDocs) {
    const { context, page } = await open(browser, { width: 1180, height: 1230 });
    await page.goto(`${pages.classic}#frame-4`);
    await page.evaluate(() => document.activeElement?.blur());
    await page.screenshot({ path: join(here, "../../../docs/images/explain.png") });
    await context.close();
  }
  for (const name of isForDocs ? [] : names) {
    for (const [scheme, width, view] of [
      ["light", 1440, "keys"],
      ["light", 1440, "attack"],
      ["dark", 1440, "wire"],
      ["dark", 400, "keys"],
    ]) {
      const { context, page } = await open(browser, { width, height: width === 400 ? 720 : 1000, scheme });
      await page.goto(pages[name]);
      await page.locator(`#view-${view}`).check();
      await page.screenshot({ path: join(folder, `${name}-${view}-${scheme}-${width}-top.png`) });
      for (const frame of [1, 2, 4, 6]) {
        await page.evaluate((frame) => document.getElementById(`frame-${frame}`)?.scrollIntoView(), frame);
        await page.screenshot({ path: join(folder, `${name}-${view}-${scheme}-${width}-frame-${frame}.png`) });
      }
      await context.close();
    }
    const { context, page } = await open(browser);
    await page.goto(pages[name]);
    const paper = join(folder, `${name}.pdf`);
    writeFileSync(paper, await page.pdf({ format: "A4", printBackground: true }));
    execFileSync("pdftoppm", ["-png", "-r", "60", paper, join(folder, `${name}-paper`)]);
    await context.close();
  }
} finally {
  await browser.close();
}
