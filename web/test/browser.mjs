// What the tests and the screenshots share: Debian's Chromium, a mock server of their own, and a
// page that notes everything a browser complains about.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
/** Far longer than anything takes on an idle machine. */
const WAIT_MS = 40_000;
const MOCK = join(here, "../mock/server.mjs");

/** Debian's; the one without windows starts and draws in half the time. */
const BROWSERS = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"];

/** A server that runs already, as `ddes serve`, instead of the mock. */
export const BASE_URL = process.env["BASE_URL"] ?? null;

export const PAGES = ["overview", "sessions", "accounts", "ledger", "security", "wire", "configuration"];

export function launch() {
  return chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? BROWSERS.find(existsSync) ?? BROWSERS[0],
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** Starts the mock; resolves once it listens. */
export async function mock(...flags) {
  const port = flags.includes("--port") ? [] : ["--port", "0"];
  const child = spawn(process.execPath, [MOCK, ...port, ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([
    new Promise((resolve) => lines.once("line", resolve)),
    ended.then((code) => Promise.reject(new Error(`the mock ended with ${code}`))),
  ]);
  const { http } = JSON.parse(first);
  return {
    url: `http://${http}`,
    port: http.split(":")[1],
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** A page, and what it complained about: console errors, exceptions, and breaches of its CSP. */
export async function open(browser, { width = 1440, height = 900, scheme = "light", ...more } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    reducedMotion: "reduce",
    ...more,
  });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return { context, page, complaints };
}

/** Goes to a page of the page, and waits until it shows what the server answered. */
export async function visit(page, base, path) {
  await page.goto(`${base}/#/${path}`);
  await page.locator("#app main h1").waitFor();
  await page.locator("main > :nth-child(2)").first().waitFor();
  await page.waitForFunction(() => document.querySelector(".side .state")?.textContent !== "Asking");
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
}
