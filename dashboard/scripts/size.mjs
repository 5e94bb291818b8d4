// Fails if the JavaScript for the first page exceeds its budget, gzipped: the scripts in
// index.html, the overview's own script, and everything that these import.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 260 * 1024;
const assets = new URL("../dist/assets/", import.meta.url);
const html = readFileSync(new URL("../index.html", assets), "utf8");
const named = [...html.matchAll(/(?:src|href)="\/assets\/([^"]+\.js)"/g)].map((match) => match[1]);
const overview = readdirSync(assets).filter((file) => /^OverviewPage-.*\.js$/.test(file));
if (named.length === 0) throw new Error("dist/index.html names no script: run the build first");
if (overview.length !== 1) throw new Error("dist has no script of its own for the overview");

/** The static imports of a built script, without `import(...)`, which loads later. */
function importsOf(file) {
  const source = readFileSync(new URL(file, assets), "utf8");
  return [...source.matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g)].map((match) => match[1]);
}

const needed = new Set();
const waiting = [...named, ...overview];
for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
  if (needed.has(file)) continue;
  needed.add(file);
  waiting.push(...importsOf(file));
}

const kilobytes = (bytes) => (bytes / 1024).toFixed(1).padStart(7);
let total = 0;
for (const file of needed) {
  const size = gzipSync(readFileSync(new URL(file, assets))).length;
  total += size;
  console.log(`${kilobytes(size)} KB  ${file}`);
}
console.log(`${kilobytes(total)} KB  initial JavaScript, gzipped (budget 260 KB)`);
if (total > BUDGET_BYTES) process.exit(1);
