import { expect, test } from "@playwright/test";
import type { Series } from "../src/api/types";
import { MockService } from "./mock-service";
import { enterKey, expectChart, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

test("shows how the engine works and what it runs on", async ({ page }) => {
  const violations = watchPolicy(page);
  await enterKey(page, service.url, "demo", "/?page=engine");
  await expectChart(page, "Duty cycle");
  const gaps = page.getByRole("application", {
    name: /^Inter-token latency, last 5 minutes: most often/,
  });
  await expect(gaps).toBeVisible();
  const first = page.getByRole("application", {
    name: /^Time to first token, last 5 minutes: most often/,
  });
  await expect(first).toBeVisible();
  await expect(page.getByRole("region", { name: "Machine" })).toContainText("A Processor 9000");
  await expect(page.getByRole("region", { name: "Machine" })).toContainText("2 of 8");
  await expect(page.getByRole("region", { name: "Engine", exact: true })).toContainText(
    "4,096 × 16 tokens",
  );
  await expectChart(page, "Draft tokens");
  for (const absent of ["redis", "gpu_memory", "gpu_busy"]) {
    await expect(page.locator(`[data-chart=${absent}]`)).toHaveCount(0);
  }

  // The heatmap shares the crosshair with the other charts, and has a table like them.
  await page.locator("[data-chart=speed] .u-over").hover();
  const heatmap = page.locator("[data-chart=itl_heatmap]");
  await expect(heatmap.getByText(/gaps, most of them/)).toBeVisible();
  const firstTokens = page.locator("[data-chart=ttft_heatmap]");
  await expect(firstTokens.getByText(/\d first tokens, most of them/)).toBeVisible();
  await heatmap.getByRole("button", { name: /view as table/ }).click();
  await expect(heatmap.getByRole("columnheader", { name: "up to 5 ms" })).toBeVisible();
  expect(violations).toEqual([]);
});

test("shows a GPU if there is one, and draft tokens only if there were some", async ({ page }) => {
  await page.route("**/api/series*", async (route) => {
    const answer = (await (await route.fetch()).json()) as Series;
    const { drafts, gpu_memory: memory, gpu_busy: busy } = answer.panels;
    for (const line of drafts?.series ?? []) line.values = answer.times.map(() => 0);
    for (const line of memory?.series ?? []) line.values = answer.times.map(() => 2 ** 33);
    for (const line of busy?.series ?? []) line.values = answer.times.map(() => 0.5);
    await route.fulfill({ json: answer });
  });
  await enterKey(page, service.url, "demo", "/?page=engine");
  await expectChart(page, "GPU memory");
  await expectChart(page, "GPU busy");
  await expect(page.locator("[data-chart=gpu_memory]")).toContainText("8 GiB");
  await expect(page.locator("[data-chart=drafts]")).toContainText("no draft tokens yet");
  await page.unrouteAll({ behavior: "ignoreErrors" });
});

test("the time range is kept from page to page", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=engine&range=15m");
  await page.getByRole("link", { name: "Overview" }).click();
  await expect(page).toHaveURL(/range=15m/);
  await page.keyboard.press("3");
  await expect(page).toHaveURL(/page=engine/);
  await expect(page.getByRole("button", { name: "Last 15 minutes" })).toHaveAttribute(
    "aria-pressed",
    "true",
  );
});
