// Builds what is inside the pages of `ddes explain`: explain/src to explain/dist, or to the folder
// named by --out. The same sources give the same bytes on any machine.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** Script and style together: they are in every page. */
const BYTES_MAX = 32_000;

const here = dirname(fileURLToPath(import.meta.url));
const at = process.argv.indexOf("--out");
const out = at > 0 ? resolve(process.argv[at + 1] ?? "dist") : join(here, "dist");

const bundle = await build({
  absWorkingDir: here,
  entryPoints: ["src/explain.ts", "src/explain.css"],
  bundle: true,
  write: false,
  outdir: "out",
  format: "iife",
  target: ["chrome123", "firefox121", "safari17.5"],
  minify: true,
  charset: "utf8",
  legalComments: "none",
});

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
let bytes = 0;
for (const file of bundle.outputFiles) {
  const text = file.text.trimEnd();
  // It stands inside an element of HTML, which its own end would end.
  if (/<\/(script|style)/i.test(text)) throw new Error(`${file.path} ends the element that it stands in`);
  bytes += Buffer.byteLength(text);
  writeFileSync(join(out, file.path.endsWith(".css") ? "explain.css" : "explain.js"), text);
}
console.log(`${bytes} bytes, at most ${BYTES_MAX}`);
if (bytes > BYTES_MAX) {
  console.error("error: leave something out: it is in every page");
  process.exit(1);
}
