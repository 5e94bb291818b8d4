// Fails when the JavaScript that the first page needs exceeds its budget, gzipped.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 260 * 1024;
const dist = new URL("../dist/", import.meta.url);
const html = readFileSync(new URL("index.html", dist), "utf8");
const files = [...html.matchAll(/(?:src|href)="\/([^"]+\.js)"/g)].map((match) => match[1]);
if (files.length === 0) throw new Error("dist/index.html names no script: run the build first");

const sizes = files.map((file) => gzipSync(readFileSync(new URL(file, dist))).length);
const total = sizes.reduce((a, b) => a + b, 0);
files.forEach((file, i) => console.log(`${(sizes[i] / 1024).toFixed(1).padStart(7)} KB  ${file}`));
console.log(
  `${(total / 1024).toFixed(1).padStart(7)} KB  initial JavaScript, gzipped (budget 260 KB)`,
);
if (total > BUDGET_BYTES) process.exit(1);
