import { expect, test, type Page } from "@playwright/test";
import type { RequestList } from "../src/api/types";
import { MockService } from "./mock-service";
import { enterKey, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

const benchmarkOf = (page: Page) => page.getByRole("region", { name: "Benchmark", exact: true });

async function openEngine(page: Page, key = "demo"): Promise<void> {
  await enterKey(page, service.url, key, "/?page=engine");
  await page.getByRole("region", { name: "Machine" }).waitFor();
}

/** The ids of the benchmark's requests that the service runs. */
async function runningIds(page: Page): Promise<string[]> {
  const headers = { Authorization: "Bearer demo" };
  const answer = await page.request.get(`${service.url}/api/requests`, { headers });
  const { running } = (await answer.json()) as RequestList;
  return running.map(({ request_id: id }) => id).filter((id) => id.startsWith("benchmark-"));
}

test("measures each number of streams and gives the proposed limit to a key", async ({ page }) => {
  const violations = watchPolicy(page);
  await openEngine(page);
  const benchmark = benchmarkOf(page);
  await expect(benchmark).toContainText("Requests of others are slower while it runs.");
  await benchmark.getByRole("button", { name: "Run a benchmark" }).click();
  await expect(benchmark.getByRole("status")).toContainText(/^Measuring \d+ of 16 streams/);
  const apply = benchmark.getByRole("button", { name: /^Set [\d,]+ requests per minute$/ });
  await expect(apply).toBeVisible({ timeout: 90_000 });
  await expect(benchmark.getByRole("row")).toHaveCount(6);
  for (const title of ["Time to first token", "Inter-token latency"]) {
    const chart = benchmark.getByRole("img", { name: new RegExp(`^${title} by streams at once`) });
    await expect(chart).toHaveAccessibleName(/1: p50 .*16: p50 .*p95 \d/);
  }

  const rate = (await apply.innerText()).replace(/\D/g, "");
  await benchmark.getByLabel("Key").selectOption({ label: "laptop (60 requests per minute)" });
  await apply.click();
  await expect(benchmark).toContainText(/The limit of laptop is now [\d,]+ requests per minute\./);
  const keys = await page.request.get(`${service.url}/api/keys`, {
    headers: { Authorization: "Bearer demo" },
  });
  const { keys: all } = (await keys.json()) as { keys: { name: string; rpm: number }[] };
  expect(all.find(({ name }) => name === "laptop")?.rpm).toBe(Number(rate));

  // A longer answer takes longer, so that fewer requests fit into a minute.
  await benchmark.getByLabel("Tokens per answer").fill("4000");
  await expect(apply).not.toHaveText(`Set ${rate} requests per minute`);
  expect(violations).toEqual([]);
});

test("stops at once, in the service too", async ({ page }) => {
  await openEngine(page);
  const benchmark = benchmarkOf(page);
  await benchmark.getByRole("button", { name: "Run a benchmark" }).click();
  await expect.poll(() => runningIds(page)).not.toEqual([]);
  await benchmark.getByRole("button", { name: "Stop the benchmark" }).click();
  await expect(benchmark).toContainText("Stopped.");
  await expect(benchmark.getByRole("button", { name: /^Run/ })).toBeVisible();
  await expect.poll(() => runningIds(page)).toEqual([]);
});

test("stops when its page is left", async ({ page }) => {
  await openEngine(page);
  await benchmarkOf(page).getByRole("button", { name: "Run a benchmark" }).click();
  await expect.poll(() => runningIds(page)).not.toEqual([]);
  await page.getByRole("link", { name: "Overview" }).click();
  await expect.poll(() => runningIds(page)).toEqual([]);
});

test("is refused while another runs, and leaves that one alone", async ({ page }) => {
  await openEngine(page);
  // The request of a benchmark in another browser, which takes minutes.
  const another = new AbortController();
  const answer = fetch(`${service.url}/v1/completions`, {
    method: "POST",
    headers: { Authorization: "Bearer demo", "X-Request-ID": "benchmark-1-other-4-0" },
    body: JSON.stringify({ model: "pocket", prompt: ["a", "b"], max_tokens: 1_000_000 }),
    signal: another.signal,
  });
  await expect.poll(() => runningIds(page)).toEqual(["benchmark-1-other-4-0"]);
  const benchmark = benchmarkOf(page);
  await benchmark.getByRole("button", { name: "Run a benchmark" }).click();
  await expect(benchmark).toContainText("Another benchmark is running, with the key demo.");
  await expect(benchmark.getByRole("button", { name: "Run a benchmark" })).toBeVisible();
  expect(await runningIds(page)).toEqual(["benchmark-1-other-4-0"]);
  another.abort();
  await (await answer).text().catch(() => undefined);
});

test("is not offered to a key that is not an administrator's", async ({ page }) => {
  await openEngine(page, "watcher");
  await expect(benchmarkOf(page)).toHaveCount(0);
});
