import { expect, test, type Page } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey, expectChart, watchPolicy } from "./steps";

const service = new MockService(8911);

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

test("shows tiles, charts and recent requests without breaking the content policy", async ({
  page,
}) => {
  const violations = watchPolicy(page);
  await enterKey(page, service.url, "demo");
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Healthy");
  await expect(page.getByRole("list", { name: "Now" }).getByRole("listitem")).toHaveCount(8);
  await expect(page.locator("[data-chart]")).toHaveCount(12);
  await expectChart(page, "Memory");
  await expect(page.getByText("own history since")).toBeVisible();
  expect(violations).toEqual([]);
});

test("a firing alert is the first thing said, in its own words", async ({ page }) => {
  const alerting = new MockService(8919);
  await alerting.start("alert");
  await enterKey(page, alerting.url, "demo");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(
    "One alert fires: AvailabilityBurn.",
  );
  const alert = page.getByRole("link", { name: /AvailabilityBurn/ });
  await expect(alert).toContainText("Errors spend the week's budget.");
  await expect(alert).toHaveAttribute("href", /page=alerts/);
  await alerting.kill();
});

test("says that Prometheus is unreachable and what stands in for it", async ({ page }) => {
  await page.route("**/api/series*", async (route) => {
    const answer = (await (await route.fetch()).json()) as { source: object };
    const source = { ...answer.source, note: "Prometheus does not answer." };
    await route.fulfill({ json: { ...answer, source } });
  });
  await enterKey(page, service.url, "demo");
  await expect(page.getByText(/Prometheus unreachable, own history since/)).toBeVisible();
});

test("keeps the range in the address and refuses ranges the source cannot serve", async ({
  page,
}) => {
  await enterKey(page, service.url, "demo", "/?page=overview&range=15m");
  const chosen = page.getByRole("button", { name: "Last 15 minutes" });
  await expect(chosen).toHaveAttribute("aria-pressed", "true");
  await page.getByRole("button", { name: "Last hour" }).click();
  await expect(page).toHaveURL(/range=1h/);
  const wide = page.getByRole("button", { name: /Last 7 days: The service itself keeps only/ });
  await expect(wide).toHaveAttribute("aria-disabled", "true");
  await wide.click({ force: true });
  await expect(page).toHaveURL(/range=1h/);
});

test("zooms all charts by dragging over one, and back by a double click", async ({ page }) => {
  await enterKey(page, service.url, "demo");
  const plot = page.locator("[data-chart=requests] .u-over");
  const box = await plot.boundingBox();
  if (!box) throw new Error("the chart has no box");
  await page.mouse.move(box.x + 60, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + 160, box.y + 40, { steps: 5 });
  await page.mouse.up();
  const badge = page.getByRole("button", { name: /show all/ });
  await expect(badge).toBeVisible();
  await plot.dblclick();
  await expect(badge).toBeHidden();
});

test("shares one crosshair over all charts", async ({ page }) => {
  await enterKey(page, service.url, "demo");
  await page.locator("[data-chart=requests] .u-over").hover();
  const time = page.locator("[data-chart=memory]").getByText(/^\d\d:\d\d:\d\d$/);
  await expect(time).toBeVisible();
});

test("the arrow keys move the crosshair of a focused chart", async ({ page }) => {
  await enterKey(page, service.url, "demo");
  const memory = page.locator("[data-chart=memory]");
  await memory.getByRole("img").press("ArrowLeft");
  await expect(memory.getByText(/^\d\d:\d\d:\d\d$/)).toBeVisible();
});

test("a chart can be read as a table", async ({ page }) => {
  await enterKey(page, service.url, "demo");
  await page.getByRole("button", { name: "Memory: view as table" }).click();
  const table = page.getByRole("region", { name: "Memory, table" });
  await expect(table.getByRole("columnheader")).toHaveText([
    "time",
    "weights",
    "KV cache",
    "other",
    "file cache",
    "limit",
  ]);
  await expect(table.getByRole("row").nth(1)).toContainText("256 MiB");
});

test("p pauses, t changes the theme, ? lists the shortcuts", async ({ page }) => {
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  await page.keyboard.press("p");
  await expect(page.getByRole("button", { name: "Resume (p)" })).toBeVisible();
  await expectNoRequests(page);
  await page.keyboard.press("t");
  await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "dark");
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard and mouse" })).toBeVisible();
});

test("the chosen theme is there before the first paint of the next visit", async ({ page }) => {
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  await page.keyboard.press("t");
  await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "dark");
  await page.route("**/index-*.js", (route) => route.abort());
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "dark");
});

async function expectNoRequests(page: Page): Promise<void> {
  let numRequests = 0;
  await page.waitForTimeout(500); // Lets what is in flight end.
  page.on("request", (request) => {
    if (request.url().includes("/api/")) numRequests++;
  });
  await page.waitForTimeout(3000); // Longer than one refresh.
  expect(numRequests).toBe(0);
}
