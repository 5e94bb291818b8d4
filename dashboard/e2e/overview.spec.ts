import { expect, test } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey, expectChart, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

test("shows tiles, charts and recent requests without breaking the content policy", async ({
  page,
}) => {
  const violations = watchPolicy(page);
  await enterKey(page, service.url, "demo");
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Healthy");
  await expect(
    page.getByRole("list", { name: "Current values" }).getByRole("listitem"),
  ).toHaveCount(8);
  await expect(page.locator("[data-chart]")).toHaveCount(12);
  await expectChart(page, "Memory");
  await expect(page.getByText("built-in history since")).toBeVisible();
  const recent = page.getByRole("region", { name: "Recent requests", exact: true });
  await recent
    .getByRole("button", { name: /details$/ })
    .first()
    .click();
  await expect(recent.getByText("request id")).toBeVisible();
  await recent.getByRole("link", { name: "all requests" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Requests");
  expect(violations).toEqual([]);
});

test("a firing alert comes first, with its own summary", async ({ page }) => {
  const alerting = new MockService();
  await alerting.start("alert");
  await enterKey(page, alerting.url, "demo");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(
    "One alert is firing: AvailabilityBurn.",
  );
  const alert = page.getByRole("link", { name: /AvailabilityBurn/ });
  await expect(alert).toContainText("Errors spend the week's budget.");
  await expect(alert).toHaveAttribute("href", /page=alerts/);
  await alert.click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Alerts & SLO");
  await alerting.kill();
});

test("says that Prometheus is unreachable and what replaces it", async ({ page }) => {
  await page.route("**/api/series*", async (route) => {
    const answer = (await (await route.fetch()).json()) as { source: object };
    const source = { ...answer.source, note: "Prometheus does not answer." };
    await route.fulfill({ json: { ...answer, source } });
  });
  await enterKey(page, service.url, "demo", "/?range=7d");
  await expect(page.getByText(/Prometheus unreachable, built-in history since/)).toBeVisible();
  await expect(page.getByRole("application", { name: /^Memory, last hour:/ })).toBeVisible();
  await page.unrouteAll({ behavior: "ignoreErrors" });
});

test("keeps the range in the address and refuses ranges the source cannot serve", async ({
  page,
}) => {
  await enterKey(page, service.url, "demo", "/?page=overview&range=15m");
  const chosen = page.getByRole("button", { name: "Last 15 minutes" });
  await expect(chosen).toHaveAttribute("aria-pressed", "true");
  await page.getByRole("button", { name: "Last hour" }).click();
  await expect(page).toHaveURL(/range=1h/);
  const wide = page.getByRole("button", { name: /last 7 days\. The service itself keeps only/ });
  await expect(wide).toHaveAttribute("aria-disabled", "true");
  await wide.click({ force: true });
  await expect(page).toHaveURL(/range=1h/);
});

test("a chart zooms with all others, shows values at the crosshair, and can be a table", async ({
  page,
}) => {
  await enterKey(page, service.url, "demo");
  const plot = page.locator("[data-chart=requests] .u-over");
  const memory = page.locator("[data-chart=memory]");
  const time = memory.getByText(/^\d\d:\d\d:\d\d$/);
  await plot.hover();
  await expect(time, "the crosshair is shared").toBeVisible();
  await page.mouse.move(0, 0);
  await expect(time).toBeHidden();
  await memory.getByRole("application").press("ArrowLeft");
  await expect(time, "the arrow keys move it").toBeVisible();

  await plot.hover();
  const box = await plot.boundingBox();
  if (!box) throw new Error("the chart has no box");
  await page.mouse.move(box.x + 60, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + 160, box.y + 40, { steps: 5 });
  await page.mouse.up();
  const badge = page.getByRole("button", { name: /show now/ });
  await expect(badge).toBeVisible();
  await plot.dblclick();
  await expect(badge).toBeHidden();

  await page.getByRole("button", { name: "Memory: view as table" }).click();
  const table = page.getByRole("region", { name: "Memory, table" });
  await expect(table.getByRole("columnheader")).toHaveText([
    "time",
    "weights",
    "KV cache",
    "compute",
    "other",
    "mapped files",
    "total",
    "limit",
  ]);
  await expect(table.getByRole("row").nth(1)).toContainText("256 MiB");
});

test("p pauses, ? lists the shortcuts, t changes the theme, which applies before the first paint", async ({
  page,
}) => {
  await page.clock.install();
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  await page.keyboard.press("p");
  await expect(page.getByRole("button", { name: "Resume (p)" })).toBeVisible();
  const asked: string[] = [];
  page.on("request", (request) => {
    if (request.url().includes("/api/")) asked.push(request.url());
  });
  await page.clock.runFor(30_000);
  expect(asked, "nothing is asked while it pauses").toEqual([]);
  await page.keyboard.press("p");
  await page.clock.runFor(5_000);
  await expect.poll(() => asked.length).toBeGreaterThan(0);

  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard and mouse" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog", { name: "Keyboard and mouse" })).toBeHidden();
  await page.keyboard.press("t");
  await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "dark");
  await page.route("**/index-*.js", (route) => route.abort());
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "dark");
});
