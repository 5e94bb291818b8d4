import { expect, test } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey, expectChart, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

test("shows how the engine works and what it runs on", async ({ page }) => {
  const violations = watchPolicy(page);
  await enterKey(page, service.url, "demo", "/?page=engine");
  await expectChart(page, "Duty cycle");
  const gaps = page.getByRole("img", { name: /^Inter-token latency, last 5 minutes: most often/ });
  await expect(gaps).toBeVisible();
  await expect(page.getByRole("region", { name: "Machine" })).toContainText("A Processor 9000");
  await expect(page.getByRole("region", { name: "Machine" })).toContainText("2 of 8");
  await expect(page.getByRole("region", { name: "Engine", exact: true })).toContainText(
    "4,096 of 16 tokens",
  );
  await expect(page.locator("[data-chart=redis]")).toHaveCount(0);

  // The heatmap shares crosshair and table with the other charts.
  await page.locator("[data-chart=speed] .u-over").hover();
  const heatmap = page.locator("[data-chart=itl_heatmap]");
  await expect(heatmap.getByText(/gaps, most of them/)).toBeVisible();
  await heatmap.getByRole("button", { name: /view as table/ }).click();
  await expect(heatmap.getByRole("columnheader", { name: "up to 5 ms" })).toBeVisible();
  expect(violations).toEqual([]);
});

test("the range goes along from page to page", async ({ page }) => {
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
