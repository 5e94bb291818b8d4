// Checks that an open dashboard does not leak: samples the JavaScript heap of a page each minute,
// after a garbage collection, and fails if it has grown by more than the budget.
//   DASHBOARD_URL=... DASHBOARD_KEY=... npm run heap -- 30 overview
import { launch, openDashboard, url } from "./browser.mjs";

const BUDGET_MEGABYTES = 10;
// Before that, caches fill and code is compiled.
const WARM_UP_MINUTES = 3;
const minutes = Number(process.argv[2] ?? 30);
const name = process.argv[3] ?? "overview";
if (!(minutes > WARM_UP_MINUTES)) {
  console.error(`give more minutes than ${WARM_UP_MINUTES}, the warm-up: npm run heap -- 30`);
  process.exit(2);
}

const browser = await launch();
const page = await openDashboard(browser);
await page.getByRole("navigation", { name: "Pages" }).locator(`[href*="page=${name}"]`).click();
const devtools = await page.context().newCDPSession(page);
let numAnswers = 0;
page.on("response", (response) => {
  if (response.ok() && response.url().startsWith(`${url}/api/`)) numAnswers++;
});

async function usedMegabytes() {
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize } = await devtools.send("Runtime.getHeapUsage");
  return usedSize / 1e6;
}

const samples = [];
for (let minute = 0; minute <= minutes; minute++) {
  if (minute > 0) await new Promise((resolve) => setTimeout(resolve, 60_000));
  const used = await usedMegabytes();
  const nodes = await page.evaluate(() => globalThis.document.querySelectorAll("*").length);
  samples.push(used);
  console.log(
    `minute ${minute}: ${used.toFixed(2)} MB, ${nodes} elements, ${numAnswers} answers so far`,
  );
}
await browser.close();

const growth = samples.at(-1) - samples[WARM_UP_MINUTES];
const words = `${name}: the heap grew by ${growth.toFixed(2)} MB from minute ${WARM_UP_MINUTES} to ${minutes}`;
const isLive = numAnswers > 10 * minutes;
console.log(`${words} (budget ${BUDGET_MEGABYTES} MB), after ${numAnswers} answers`);
if (!isLive) console.error("too few answers came: the page was not live, and this proves nothing");
process.exit(growth > BUDGET_MEGABYTES || !isLive ? 1 : 0);
