// The pages of `ddes explain` in a real browser: by keyboard, by address, by colour and on paper.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import axe from "axe-core";
import { launch, open as openPage } from "../../test/browser.mjs";
import { makePages } from "./pages.mjs";

const VIEWS = ["wire", "keys", "attack"];
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

let pages;
let browser;
before(async () => {
  pages = await makePages();
  browser = await launch();
});
after(async () => browser?.close());

/** A page at an address, with every request that it made. */
async function open(address, options = {}) {
  const opened = await openPage(browser, options);
  const requests = [];
  opened.page.on("request", (request) => requests.push(request.url()));
  await opened.page.goto(address);
  return { ...opened, requests };
}

/** What axe finds in the page as it is; runs in the page. What no rule is broken by is not collected,
 * which would take most of the time. */
async function findings(tags) {
  const options = { runOnly: tags, resultTypes: ["violations"] };
  const { violations } = await window.axe.run(document, options);
  return violations.map(({ id, nodes }) => {
    const where = nodes.slice(0, 3).map((node) => node.html.slice(0, 160));
    return `${id}: ${where.join(" | ")}`;
  });
}

const focused = (page) =>
  page.evaluate(() => ({
    id: document.activeElement?.id ?? "",
    text: document.activeElement?.textContent ?? "",
    field: document.activeElement?.getAttribute("data-f"),
  }));

/** Follows the link that has the focus, and waits until the page has shown what it leads to. */
async function follow(page) {
  const shown = page.evaluate(
    () => new Promise((done) => addEventListener("hashchange", () => setTimeout(done), { once: true })),
  );
  await page.keyboard.press("Enter");
  await shown;
}

test("no page asks anybody for anything, or breaks its own policy", async () => {
  for (const name of ["classic", "hybrid", "beside", "wire"]) {
    const { context, page, complaints, requests } = await open(pages[name]);
    await page.locator("footer").scrollIntoViewIfNeeded();
    for (const view of VIEWS) await page.locator(`#view-${view}`).check();
    assert.deepEqual(requests, [pages[name]], name);
    assert.deepEqual(complaints, [], name);
    const policy = await page.locator("meta[http-equiv]").getAttribute("content");
    assert.match(policy, /^default-src 'none'; style-src 'sha256-/);
    assert.equal(await page.locator("[style], [onclick], img, iframe, link").count(), 0, name);
    await context.close();
  }
});

describe("axe finds nothing in any view", { concurrency: 2 }, () => {
  for (const name of ["classic", "hybrid", "beside", "wire"]) {
    for (const [scheme, width] of [["light", 1440], ["dark", 320]]) {
      test(`${name}, ${scheme}, ${width} px`, async () => {
        const { context, page } = await open(pages[name], { scheme, width });
        // What the policy keeps out is put in as the developer tools would.
        await page.evaluate(axe.source);
        for (const view of VIEWS) {
          await page.locator(`#view-${view}`).check();
          assert.deepEqual(await page.evaluate(findings, RULES), [], view);
        }
        await context.close();
      });
    }
  }
});

test("a journey by keyboard alone: skip, choose a view, walk through bytes, follow them to their meaning and back", async () => {
  const { context, page } = await open(pages.classic);
  await page.keyboard.press("Tab");
  assert.equal((await focused(page)).text, "Skip to the frames");
  await page.keyboard.press("Tab");
  assert.equal((await focused(page)).id, "view-keys", "the view that is chosen");
  await page.keyboard.press("ArrowRight");
  assert.equal((await focused(page)).id, "view-attack");
  assert.equal(await page.locator(".lessons").first().isVisible(), true);
  assert.equal(await page.locator(".inside").first().isVisible(), false);
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.locator(".inside").first().isVisible(), true);

  await page.locator("#frame-4 .bytes a.b").first().focus();
  assert.equal((await focused(page)).id, "frame-4.opcode.bytes");
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
  assert.equal((await focused(page)).id, "frame-4.token.bytes");
  const lit = () => page.locator("#frame-4 .on").evaluateAll((all) => all.map((one) => one.id));
  assert.deepEqual(await lit(), ["frame-4.token.bytes", "frame-4.token"], "both ends are lit");
  await follow(page);
  assert.equal((await focused(page)).id, "frame-4.token");
  assert.equal(new URL(page.url()).hash, "#frame-4.token");
  await page.locator("#frame-4\\.token a").focus();
  await follow(page);
  assert.equal((await focused(page)).id, "frame-4.token.bytes");
  await page.keyboard.press("End");
  assert.equal((await focused(page)).id, "frame-4.hmac.bytes");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => !document.activeElement.closest(".bytes")), true, "one stop for all bytes");

  const card = page.locator("#frame-4\\.calc-hmac");
  await card.locator("summary").focus();
  await page.keyboard.press("Enter");
  assert.equal(await card.evaluate((card) => card.open), false);
  await page.keyboard.press("Space");
  assert.equal(await card.evaluate((card) => card.open), true);
  await context.close();
});

/** Within the opcode's bytes, which are on one line; what is read out before them has no place. */
const ON_OPCODE = { x: 20, y: 8 };

test("the pointer lights both ends too", async () => {
  const { context, page } = await open(pages.classic);
  await page.locator("#frame-4 .bytes a.b").first().hover({ position: ON_OPCODE });
  assert.equal(await page.locator("#frame-4\\.opcode.on").count(), 1);
  await page.locator("#frame-4\\.hmac").hover();
  assert.equal(await page.locator("#frame-4\\.hmac\\.bytes.on").count(), 1);
  assert.equal(await page.locator("#frame-4\\.opcode.on").count(), 0);
  await context.close();
});

test("an address shows what it names, whichever view and card it is in", async () => {
  for (const [hash, view] of [
    ["#frame-4", "keys"],
    ["#frame-4.hmac", "keys"],
    ["#frame-4.calc-hmac", "keys"],
    ["#frame-4.inside.integer", "keys"],
    ["#frame-2.der.public", "keys"],
  ]) {
    const { context, page } = await open(pages.classic + hash);
    const target = page.locator(hash.replaceAll(".", "\\."));
    assert.equal(await target.isVisible(), true, hash);
    await page.waitForFunction((id) => {
      const box = document.getElementById(id).getBoundingClientRect();
      return box.top >= 0 && box.top < innerHeight;
    }, hash.slice(1));
    assert.equal(await page.locator('input[name="view"]:checked').getAttribute("value"), view, hash);
    await context.close();
  }
  const { context, page } = await open(pages.classic);
  await page.locator("#view-wire").check();
  await page.evaluate(() => (location.hash = "#frame-4.inside.integer"));
  await page.locator("#frame-4\\.inside\\.integer").waitFor();
  assert.equal(await page.locator("#view-keys").isChecked(), true, "the view that has it");
  await page.evaluate(() => (location.hash = "#%E0%A4%A"));
  await context.close();
});

test("each view shows what it says, and each calculation agrees with the wire", async () => {
  for (const name of ["classic", "hybrid"]) {
    const { context, page } = await open(pages[name]);
    assert.equal(await page.locator(".claim.bad, .checks .bad").count(), 0, name);
    assert.ok((await page.locator(".claim.good").count()) >= 4, name);
    await page.locator("#view-wire").check();
    assert.equal(await page.locator(".calc").first().isVisible(), false);
    assert.equal(await page.locator(".locked").first().isVisible(), true);
    await page.locator("#view-attack").check();
    const marks = await page.locator(".mark").count();
    if (name === "classic") assert.ok(marks > 10, "equal blocks, the token and the padding are marked");
    else assert.equal(marks, 0, "nothing repeats on this wire");
    await context.close();
  }
});

test("a page without secrets says how to get the rest, and holds none", async () => {
  const { context, page } = await open(pages.wire);
  assert.equal(await page.locator("#view-wire").isChecked(), true);
  assert.match(await page.locator(".how").innerText(), /--capture-secrets/);
  assert.equal(await page.locator(".calc").count(), 0);
  await context.close();
});

test("nothing is wider than a narrow screen, and nothing moves for whoever wants no motion", async () => {
  for (const name of ["classic", "hybrid", "beside", "wire"]) {
    const { context, page } = await open(pages[name], { width: 320, height: 720 });
    for (const view of VIEWS) {
      await page.locator(`#view-${view}`).check();
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 320, `${name} ${view}: ${width}`);
    }
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).scrollBehavior), "auto");
    await context.close();
  }
});

/** A page on paper as text, with its layout. */
async function onPaper(page, name) {
  const paper = join(pages.folder, `${name}.pdf`);
  writeFileSync(paper, await page.pdf({ format: "A4", printBackground: true }));
  return execFileSync("pdftotext", ["-layout", paper, "-"], { encoding: "utf8" });
}

/** The lines of the PEM text of a frame. */
const pemOf = async (page, frame) => (await page.locator(`#frame-${frame} .said`).textContent()).trim().split("\n");

test("on paper each frame is there and each kind of calculation once, and nothing is cut off", async () => {
  const { context, page } = await open(pages.classic);
  const text = await onPaper(page, "classic");
  const flat = text.replace(/\s+/g, " ");
  for (const said of ["Every byte of the classic wire", "With the keys", "The session token", "HKDF-SHA256", "Double DES in ECB, decryption", "HMAC of frame 10"]) {
    assert.ok(flat.includes(said), said);
  }
  // The whole of a command that scrolls on a screen.
  const command = await page.locator('#frame-2\\.calc-shared .line[data-kind="shell"] code').textContent();
  assert.ok(text.replace(/\s+/g, "").includes(command.replace(/\s+/g, "")), "a command is cut off");
  // Three integers and three sums: one HMAC of each kind is worked out in full.
  assert.equal(flat.split("ddes calc hmac").length - 1, 2);
  assert.ok(!flat.includes("What an attacker learns: frame"), "that is another view");
  // Nobody prints a book to read one session.
  assert.ok(text.split("\f").length <= 20, "pages");
  // A key is copied line by line.
  const lines = text.split("\n").map((line) => line.trim());
  for (const line of [...(await pemOf(page, 1)), ...(await pemOf(page, 2))]) {
    assert.ok(lines.some((printed) => printed.includes(line)), line);
  }
  await context.close();
});

test("paper has no value that nobody types, and says where it is", async () => {
  const { context, page } = await open(pages.hybrid);
  const text = await onPaper(page, "hybrid");
  const flat = text.replace(/\s+/g, " ");
  assert.ok(text.split("\f").length <= 30, "pages");
  // The ML-KEM key is in its frame, and in no calculation again.
  const key = (await page.locator("#frame-1\\.kem_key\\.bytes").textContent()).replace(/[^0-9a-f ]/g, "").trim().slice(-200).replace(/ /g, "");
  const pressed = text.replace(/\s+/g, "");
  assert.equal(pressed.split(key).length - 1, 1);
  for (const said of ["whole on the page", "the line is on the page", "the first 16 rows, more on the page", "Keystream of DES for frame 6, record 1 to the server"]) {
    assert.ok(flat.includes(said), said);
  }
  await context.close();
});

test("paper has the view that is chosen", async () => {
  const { context, page } = await open(pages.classic);
  await page.locator("#view-attack").check();
  const flat = (await onPaper(page, "attack")).replace(/\s+/g, " ");
  assert.ok(flat.includes("Attacker") && flat.includes("What an attacker learns"));
  assert.ok(!flat.includes("With the keys") && !flat.includes("ddes calc hmac"));
  await context.close();
});

test("no box hides bytes, and the lines of a key stay whole", async () => {
  for (const name of ["classic", "hybrid"]) {
    const { context, page } = await open(pages[name]);
    const hidden = await page.locator(".bytes").evaluateAll((all) => all.filter((box) => box.scrollHeight > box.clientHeight + 1).length);
    assert.equal(hidden, 0, name);
    await context.close();
  }
  const { context, page } = await open(pages.classic);
  for (const frame of [1, 2]) {
    const said = page.locator(`#frame-${frame} .said`);
    const lines = (await pemOf(page, frame)).length;
    const seen = await said.evaluate((box) => {
      const { lineHeight, paddingTop, paddingBottom } = getComputedStyle(box);
      const height = box.scrollHeight - parseFloat(paddingTop) - parseFloat(paddingBottom);
      return { lines: Math.round(height / parseFloat(lineHeight)), isCut: box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight };
    });
    assert.deepEqual(seen, { lines, isCut: false }, `frame ${frame}`);
  }
  await context.close();
});

test("an attacker’s marks begin with the key exchange", async () => {
  const { context, page } = await open(pages.classic);
  await page.locator("#view-attack").check();
  for (const [frame, public_] of [[1, "g^y"], [2, "g^x"]]) {
    const marks = await page.locator(`#frame-${frame} .mark`).evaluateAll((all) => all.map((mark) => mark.dataset.mark));
    assert.deepEqual(marks, [`p, g and ${public_}, unsigned`, "p", "g", public_]);
  }
  await context.close();
});

test("on a narrow screen the two wires stand below each other", async () => {
  const { context, page } = await open(pages.beside, { width: 500 });
  const cells = await page.locator(".beside tbody tr:first-child td").evaluateAll((all) =>
    all.map((cell) => ({ ...cell.getBoundingClientRect().toJSON(), wire: getComputedStyle(cell, "::before").content })),
  );
  assert.equal(cells.length, 2);
  assert.ok(cells[1].top >= cells[0].bottom && cells[1].right <= 500, JSON.stringify(cells));
  assert.deepEqual(cells.map((cell) => cell.wire), ['"classic"', '"D-DDES/2"']);
  const scrolls = await page.locator(".beside .scroll").evaluate((box) => box.scrollWidth > box.clientWidth);
  assert.equal(scrolls, false);
  await context.close();
});

test("without a script everything is there and can be reached", async () => {
  const { context, page } = await open(pages.classic, { javaScriptEnabled: false });
  await page.locator("#view-attack").check();
  assert.equal(await page.locator(".lessons").first().isVisible(), true);
  await page.locator("#view-keys").check();
  await page.locator("#frame-4 .bytes a.b").first().click({ position: ON_OPCODE });
  assert.equal(new URL(page.url()).hash, "#frame-4.opcode");
  await context.close();
});
