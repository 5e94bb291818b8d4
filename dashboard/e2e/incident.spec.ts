import { readFile } from "node:fs/promises";
import { expect, test, type Page } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey, expectChart, watchErrors, watchPolicy } from "./steps";

/** What a person does who looks into an incident: a window, its marks, its requests, and files. */
const service = new MockService();

test.beforeAll(() => service.start("alert"));
test.afterAll(() => service.kill());

const finished = (page: Page) =>
  page.getByRole("region", { name: "Finished requests", exact: true });

async function drag(page: Page, chart: string): Promise<void> {
  const plot = page.locator(`[data-chart=${chart}] .u-over`);
  await plot.hover();
  const box = await plot.boundingBox();
  if (!box) throw new Error("the chart has no box");
  await page.mouse.move(box.x + 60, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + 160, box.y + 40, { steps: 5 });
  await page.mouse.up();
}

test("a zoom is in the address, holds on every page, and opens the same for someone else", async ({
  page,
  browser,
}) => {
  const violations = watchPolicy(page);
  await enterKey(page, service.url, "demo", "/?page=overview&outcome=error");
  await expectChart(page, "Memory");
  const asked = page.waitForRequest(/api\/series.*start=\d+&end=\d+/);
  await drag(page, "requests");
  await expect(page).toHaveURL(/from=\d+&to=\d+/);
  await asked;
  const badge = page.getByRole("button", { name: /show now$/ });
  const words = await badge.textContent();
  await page.getByRole("link", { name: "Requests", exact: true }).click();
  await expect(page, "filters end with their page").not.toHaveURL(/outcome=/);
  await expect(page).toHaveURL(/from=\d+&to=\d+/);
  await expect(badge).toHaveText(words ?? "");
  const count = finished(page).getByRole("button", { name: /details$/ });
  await expect.poll(() => count.count()).toBeLessThan(100);

  const other = await browser.newPage();
  await enterKey(other, service.url, "demo", new URL(page.url()).search.replace(/^/, "/"));
  await expect(other.getByRole("button", { name: /show now$/ })).toHaveText(words ?? "");
  await other.close();
  await badge.click();
  await expect(page).not.toHaveURL(/from=/);
  await expect(finished(page).getByRole("heading")).toContainText("1,000");
  expect(violations).toEqual([]);
});

test("a click on a point offers its requests", async ({ page }) => {
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Time to first token");
  const card = page.locator("[data-chart=ttft]");
  await card.locator(".u-over").click({ position: { x: 200, y: 60 } });
  const link = card.getByRole("link", { name: /^requests \d\d:\d\d:\d\d to \d\d:\d\d:\d\d$/ });
  await link.click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Requests");
  await expect(page.getByRole("button", { name: /show now$/ })).toBeVisible();
  await page.goBack();
  await expectChart(page, "Time to first token");
  const plot = card.getByRole("application");
  await plot.press("ArrowLeft");
  await plot.press("Enter");
  await expect(link, "the keyboard can do it, too").toBeVisible();
});

test("what happened is marked and listed in words", async ({ page }) => {
  const errors = watchErrors(page);
  await enterKey(page, service.url, "demo", "/?range=1h");
  await expectChart(page, "Memory");
  const events = page.getByText(/events in this time/);
  await events.click();
  const list = page.getByRole("list", { name: "Events" });
  await expect(list).toContainText("The service started (version 0.1.0).");
  await expect(list).toContainText("pocket was loaded.");
  await expect(list).toContainText("The limit of batch-jobs was changed from 60 to 600");
  await expect(list).toContainText("alert");
  expect(errors).toEqual([]);
});

test("charts and requests are downloaded as CSV, a chart as PNG", async ({ page }) => {
  const violations = watchPolicy(page);
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  const save = async (menu: string, format: string) => {
    await page.getByRole("button", { name: menu, exact: true }).click();
    const started = page.waitForEvent("download");
    await page.getByRole("button", { name: format }).click();
    const file = await started;
    return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
  };
  const csv = await save("Memory: download", "CSV (numbers)");
  expect(csv.name).toMatch(/^memory-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.csv$/);
  expect(csv.bytes.toString()).toMatch(/^time,weights \(bytes\),KV cache \(bytes\),/);
  expect(csv.bytes.toString()).toMatch(/Z,25165824,268435456,/);
  const png = await save("Memory: download", "PNG (image)");
  expect(png.bytes.subarray(1, 4).toString()).toBe("PNG");
  expect(png.bytes.length).toBeGreaterThan(3000);
  await page.goto(`${service.url}/?page=requests`);
  await enterKey(page, service.url, "demo", "/?page=requests&outcome=error");
  await expect(finished(page).getByRole("button", { name: /details$/ })).not.toHaveCount(0);
  const requests = await save("Download the requests", "CSV (numbers)");
  const rows = requests.bytes.toString().trim().split("\r\n");
  expect(rows[0]).toMatch(/^started_at,request_id,/);
  expect(rows.slice(1).every((row) => row.includes(",error,internal,decode,"))).toBe(true);
  expect(violations).toEqual([]);
});

test("refusals are counted apart, and the latest of each can be opened", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=requests");
  const refused = page.getByRole("region", { name: "Refused requests", exact: true });
  await expect(refused.getByRole("row", { name: /batch-jobs rate limit 3,200/ })).toBeVisible();
  await refused
    .getByRole("button", { name: "Show the latest request of batch-jobs refused for rate limit" })
    .click();
  const linked = page.getByRole("region", { name: "Linked request" });
  await expect(linked).toContainText("rejected: rate limit in admission");
});

test("a request shows its second, and no row moves while one is pointed at", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=requests");
  const first = finished(page)
    .getByRole("button", { name: /details$/ })
    .first();
  await first.hover();
  const name = await first.getAttribute("aria-label");
  await expect(page.getByRole("button", { name: /^\d+ new, show$/ })).toBeVisible();
  expect(await first.getAttribute("aria-label")).toBe(name);
  await first.click();
  await expect(finished(page).getByText(/^[A-Z][a-z]{2} \d+, \d\d:\d\d:\d\d$/)).toBeVisible();
});

test("a comparison is offered only as far as the source reaches back", async ({ page }) => {
  await page.route("**/api/series*", async (route) => {
    const answer = (await (await route.fetch()).json()) as { source: { since: number } };
    const since = answer.source.since - 7200;
    await route.fulfill({ json: { ...answer, source: { ...answer.source, since } } });
  });
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  const picker = page.getByLabel("Compare with");
  await expect(picker.getByRole("option", { name: "the day before (not kept)" })).toBeDisabled();
  const asked = page.waitForRequest((request) => {
    const start = Number(new URL(request.url()).searchParams.get("start"));
    return start > 0 && start < Date.now() / 1000 - 3600;
  });
  await picker.selectOption("hour");
  await asked;
  await expect(page).toHaveURL(/compare=hour/);
  await expect(
    page.locator("[data-chart=ttft]").getByText("p95 1 h before", { exact: true }),
  ).toBeVisible();
  await page.unrouteAll({ behavior: "ignoreErrors" });
});

test("on a phone the tools are reachable, and fields do not make iOS zoom", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 800 });
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  await page.getByLabel("Key of the charts").selectOption("demo");
  const board = page.getByRole("region", { name: "Requests of the key demo" });
  await expect(board.locator("[data-chart]")).toHaveCount(4);
  await expect(page.getByRole("button", { name: "Memory: download" })).toBeVisible();
  await expect(page.getByLabel("Compare with")).toBeVisible();
  for (const name of ["overview", "requests", "keys"]) {
    await enterKey(page, service.url, "demo", `/?page=${name}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    if (name === "keys") await page.getByRole("button", { name: "Create a key" }).click();
    const fields = page.locator("input:not([type=checkbox]), select, textarea");
    await fields.first().waitFor();
    const sizes = await fields.evaluateAll((all) =>
      all.map((field) => getComputedStyle(field).fontSize),
    );
    expect(new Set(sizes), name).toEqual(new Set(["16px"]));
  }
});
