import { expect, test } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey, expectChart } from "./steps";

const service = new MockService();

test.beforeEach(() => service.start());
test.afterEach(() => service.kill());

test("after the service is killed, its last numbers stay, dimmed, until it is back", async ({
  page,
}) => {
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  await service.kill();
  const banner = page.getByRole("alert").filter({ hasText: "Disconnected" });
  await expect(banner).toContainText("The service does not answer.");
  await expect(banner).toContainText(/old\. Retrying \(attempt \d/);
  await expect(page.getByRole("main")).toHaveAttribute("data-stale", "true");
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Unknown");
  await expectChart(page, "Memory");
  await service.start();
  // The page may retry by itself before the click; then the button is gone.
  const tryNow = page.getByRole("button", { name: "Retry now" });
  await expect(async () => {
    if (await tryNow.isVisible()) await tryNow.click({ timeout: 1000 });
    await expect(banner).toBeHidden({ timeout: 1000 });
  }).toPass();
  await expect(page.getByRole("banner").getByText("Ready")).toBeVisible();
});

test("a key that is revoked later opens a dialog, and the page keeps its state", async ({
  page,
}) => {
  await enterKey(page, service.url, "demo", "/?page=overview&range=15m");
  await expectChart(page, "Memory");
  await page.route("**/api/**", (route) =>
    route.fulfill({
      status: 401,
      json: { error: { message: "This key was revoked.", code: "x" } },
    }),
  );
  const dialog = page.getByRole("dialog", { name: "The service refused this key" });
  await expect(dialog).toContainText("This key was revoked.");
  await expect(page.getByText("Disconnected")).toHaveCount(0);
  await page.unroute("**/api/**");
  await dialog.getByLabel("API key").fill("demo");
  await dialog.getByRole("button", { name: "Open the dashboard" }).click();
  await expect(dialog).toBeHidden();
  await expect(page).toHaveURL(/page=overview&range=15m/);
  await expectChart(page, "Memory");
});

test("a key without the scope metrics sees which scope is needed", async ({ page }) => {
  await enterKey(page, service.url, "chat-only");
  const notice = page.getByRole("status").filter({ hasText: "This key may not read metrics" });
  await expect(notice).toContainText('The key "chat-only" lacks the scope metrics.');
  await expect(notice).toContainText("llm-service keys create");
});

test("a service that is loading says why it is not ready", async ({ page }) => {
  await service.kill();
  await service.start("loading");
  await enterKey(page, service.url, "demo");
  await expect(page.getByRole("heading", { level: 1 })).toContainText(
    "Loading: the model is loading",
  );
  await page.getByRole("link", { name: "Playground" }).click();
  await expect(page.getByPlaceholder("The model is not ready yet")).toBeVisible();
  await expect(page.getByRole("button", { name: "What is 7 plus 5?" })).toBeDisabled();
});

test("an idle service shows no traffic, never zero or NaN", async ({ page }) => {
  await service.kill();
  await service.start("idle");
  await enterKey(page, service.url, "demo");
  await expect(page.getByRole("heading", { level: 1 })).toContainText("No traffic");
  await expect(page.locator("[data-chart=ttft]")).toContainText("no traffic");
  await expect(page.locator("body")).not.toContainText("NaN");
});

test("a service that requires no key opens without one, and shows all that it allows", async ({
  page,
}) => {
  await service.kill();
  await service.start("open");
  await page.goto(service.url);
  await expectChart(page, "Memory");
  await expect(page.getByLabel("API key")).toHaveCount(0);
  await page.getByRole("link", { name: "Keys" }).click();
  await expect(page.getByText("This service requires a key only for this page.")).toBeVisible();

  // A key can still be used, and an unknown key is refused.
  await page.getByRole("button", { name: "No key" }).click();
  await page.getByRole("button", { name: "Use a key" }).click();
  await page.getByLabel("API key").fill("nonsense");
  await page.keyboard.press("Enter");
  await expect(page.getByText("The service does not know this key.")).toBeVisible();
  await page.getByLabel("API key").fill("demo");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "Create a key" })).toBeVisible();
  await page.getByRole("button", { name: "Key demo" }).click();
  await page.getByRole("button", { name: "Use another key" }).click();
  await page.getByRole("button", { name: "Continue without a key" }).click();
  await expect(page.getByRole("button", { name: "No key" })).toBeVisible();
});

test("the key is forgotten on reload, unless it is kept for the tab", async ({ page }) => {
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  await page.reload();
  await page.getByLabel("API key").fill("demo");
  await page.getByLabel("Keep for this tab").check();
  await page.getByRole("button", { name: "Open the dashboard" }).click();
  await expectChart(page, "Memory");
  await page.reload();
  await expectChart(page, "Memory");
  expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain("demo");
  expect(page.url()).not.toContain("demo");
});
