// Builds the page: web/src to web/dist, or to the folder named by --out. The same sources and lock
// give the same bytes on any machine.
//
// A file's name holds the hash of its bytes, so that a browser may keep it for good.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** All JavaScript and CSS together, compressed by gzip. */
const COMPRESSED_MAX = 60_000;
/** Whose code is inside, and under which licence it is passed on. */
const BUILT_IN = ["preact", "@preact/signals", "@preact/signals-core", "uplot"];

const here = dirname(fileURLToPath(import.meta.url));
const at = process.argv.indexOf("--out");
const out = at > 0 ? resolve(process.argv[at + 1] ?? "dist") : join(here, "dist");

const bundle = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.tsx"],
  bundle: true,
  write: false,
  outdir: "out",
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  banner: { js: "/* Built from web/src of ddes. Licences of what is inside: LICENSES.txt */" },
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { "process.env.NODE_ENV": '"production"' },
});

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const names = {};
let compressed = 0;
for (const file of bundle.outputFiles) {
  const kind = file.path.endsWith(".css") ? "css" : "js";
  const hash = createHash("sha256").update(file.contents).digest("hex").slice(0, 12);
  names[kind] = `app-${hash}.${kind}`;
  compressed += gzipSync(file.contents, { level: 9 }).length;
  writeFileSync(join(out, names[kind]), file.contents);
}
const index = readFileSync(join(here, "src/index.html"), "utf8");
writeFileSync(
  join(out, "index.html"),
  index.replace("app.css", names.css).replace("app.js", names.js),
);
const licences = BUILT_IN.map((name) => {
  const folder = join(here, "node_modules", name);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} comes without a licence`);
  return `${name}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
writeFileSync(join(out, "LICENSES.txt"), licences.join("\n\n").replace(/[ \t]+$/gm, ""));

console.log(`${compressed} bytes compressed, at most ${COMPRESSED_MAX}`);
if (compressed > COMPRESSED_MAX) {
  console.error("error: the page is too large: leave something out");
  process.exit(1);
}
