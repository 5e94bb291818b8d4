// Measures how long the charts take to redraw: 12 charts of 5 lines and 600 points each.
// It is a measurement (npm run redraw), not a test, because machines differ.
import { createServer } from "vite";
import { launch } from "./browser.mjs";

const BUDGET_MILLISECONDS = 16;
const server = await createServer({ server: { port: 0 }, logLevel: "error" });
await server.listen();
const [url] = server.resolvedUrls?.local ?? [];
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
await page.goto(`${url}testing/redraw.html`);
await page.waitForFunction(() => globalThis.redraw !== undefined, null, { timeout: 120_000 });

// The time of this thread only, without the rest of the machine. Painting is counted separately,
// because a graphics card does it outside this thread.
const devtools = await page.context().newCDPSession(page);
await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
const seconds = async (name) => {
  const { metrics } = await devtools.send("Performance.getMetrics");
  return metrics.find((metric) => metric.name === name).value;
};
const before = { script: await seconds("ScriptDuration"), task: await seconds("TaskDuration") };
const numRedraws = await page.evaluate(() => globalThis.redraw());
const meanOf = (name, start, end) =>
  `${name} ${((1000 * (end - start)) / numRedraws).toFixed(1)} ms`;
const script = meanOf("script", before.script, await seconds("ScriptDuration"));
const task = meanOf("with painting", before.task, await seconds("TaskDuration"));
await browser.close();
await server.close();

console.log(
  `60 series of 600 points, mean of ${numRedraws} redraws: ${script}, ${task} ` +
    `(aim ${BUDGET_MILLISECONDS} ms of script)`,
);
