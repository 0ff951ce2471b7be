// Every page, with 0, 3 and 10,000 sessions and a million accounts, light and dark, wide and
// narrow: no finding of axe, nothing that the browser complains about, no scrolling sideways.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import axe from "axe-core";
import { BASE_URL, launch, mock, open, PAGES, visit } from "./browser.mjs";

const WORLDS = BASE_URL
  ? { "a real server": null }
  : {
      "no session": ["--sessions", "0"],
      "3 sessions, classic, read-only": ["--sessions", "3", "--classic", "--allow-any", "--read-only", "--memory"],
      "10,000 sessions, 1,000,000 accounts": ["--sessions", "10000", "--accounts", "1000000"],
    };
const LOOKS = ["light", "dark"].flatMap((scheme) => [1440, 320].map((width) => ({ scheme, width })));
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
/** The dark page differs from the light one by its colours alone: by what these rules look at. */
const COLOUR_RULES = ["color-contrast", "link-in-text-block"];

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** What axe finds on the page as it is. */
async function findings(page, rules) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(
    (runOnly) => globalThis.axe.run(document, { runOnly, resultTypes: ["violations"] }),
    rules,
  );
  return found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target} ${node.failureSummary}`));
}

/** What makes the page wider than its window; a region that scrolls by itself does not. */
function overhang(page) {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const all = [...document.querySelectorAll("body *")];
    const wide = all.filter((element) => element.getBoundingClientRect().right > width + 1);
    return wide.slice(-3).map((element) => `wider than the window: ${element.outerHTML.slice(0, 160)}`);
  });
}

for (const [name, flags] of Object.entries(WORLDS)) {
  describe(name, { concurrency: 2 }, () => {
    let server;
    before(async () => {
      server = flags === null ? { url: BASE_URL, kill: async () => {} } : await mock(...flags);
    });
    after(() => server.kill());
    for (const { scheme, width } of LOOKS) {
      test(`${scheme}, ${width} px`, async () => {
        const { context, page, complaints } = await open(browser, { width, scheme });
        const found = [];
        const rules = scheme === "dark" ? COLOUR_RULES : RULES;
        for (const path of PAGES) {
          await visit(page, server.url, path);
          for (const finding of [...(await overhang(page)), ...(await findings(page, rules))]) {
            found.push(`${path}: ${finding}`);
          }
        }
        assert.deepEqual([...found, ...complaints], []);
        await context.close();
      });
    }
  });
}
