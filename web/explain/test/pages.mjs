// The pages that the tests and the screenshots look at: sessions of a real server and real clients,
// captured with their secrets and explained by the built command.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const DDES = process.env["DDES"] ?? join(here, "../../../target/debug/ddes");

/** Pages that are there already, instead. */
const PAGES = process.env["PAGES"] ?? null;

/** Makes a folder of pages; gives their addresses by name. */
export async function makePages() {
  if (PAGES) {
    const names = ["classic", "hybrid", "beside", "wire"];
    const address = (name) => [name, pathToFileURL(join(PAGES, `${name}.html`)).href];
    return { folder: mkdtempSync(join(tmpdir(), "ddes-explain-")), ...Object.fromEntries(names.map(address)) };
  }
  const folder = mkdtempSync(join(tmpdir(), "ddes-explain-"));
  const env = { ...process.env, DDES_HOME: join(folder, "home"), DDES_HTTP: "off" };
  const ddes = (...words) => execFileSync(DDES, words, { env, encoding: "utf8", cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const server = spawn(DDES, ["serve", "--json", "--listen", "127.0.0.1:0", "--classic", "--allow-any", "--ledger", "memory"], {
    env,
    stdio: ["pipe", "pipe", "ignore"],
  });
  try {
    const lines = createInterface({ input: server.stdout });
    const addr = await new Promise((resolve, reject) => {
      lines.on("line", (line) => {
        const event = JSON.parse(line);
        if (event.event === "listening") resolve(event.addr);
      });
      server.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
    const trust = /SHA256:[\w+/]+/.exec(ddes("key", "show", "--server-key"))[0];
    // The same integer twice, so that an attacker has something to see.
    const act = ["42", "50", "42"];
    ddes("send", "--classic", "--server", addr, "--capture", "classic.pcapng", "--capture-secrets", ...act);
    const v2 = ["send", "--server", addr, "--trust", trust, "--capture-secrets"];
    ddes(...v2, "--capture", "hybrid.pcapng", ...act);
    const explain = (page, ...words) => {
      ddes("explain", "-o", page, ...words);
      return pathToFileURL(join(folder, page)).href;
    };
    return {
      folder,
      classic: explain("classic.html", "classic.pcapng"),
      hybrid: explain("hybrid.html", "hybrid.pcapng"),
      beside: explain("beside.html", "classic.pcapng", "--compare", "hybrid.pcapng"),
      wire: explain("wire.html", "classic.pcapng", "--without-secrets"),
    };
  } finally {
    server.kill("SIGKILL");
  }
}
