import { expect, test } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey, watchPolicy } from "./steps";

const service = new MockService();

test.beforeEach(() => service.start());
test.afterEach(() => service.kill());

test("a key is created, shown once, changed, rotated and revoked", async ({ page }) => {
  const violations = watchPolicy(page);
  await enterKey(page, service.url, "demo", "/?page=keys");
  const keys = page.getByRole("list", { name: "Keys", exact: true });
  await expect(keys.locator("> li")).toHaveCount(5);
  // A key from the settings is marked and cannot be changed here.
  const admin = page.locator("li").filter({ hasText: "from the settings" });
  await expect(admin).toContainText("no limit");
  await expect(admin).toContainText(/used \d+ (s|min|h) ago/);
  await expect(admin.getByRole("button")).toHaveCount(0);

  await page.getByRole("button", { name: "Create a key" }).click();
  const form = page.getByRole("dialog", { name: "Create a key" });
  const submit = form.getByRole("button", { name: "Create the key" });
  await form.getByLabel("Name").fill("laptop");
  await expect(form.getByText("Another key has this name.")).toBeVisible();
  await expect(submit).toBeDisabled();
  await form.getByLabel("Name").fill("phone");
  await form.getByLabel("metrics").check();
  const sent = page.waitForRequest((request) => request.method() === "POST");
  await submit.click();
  expect((await sent).postDataJSON()).toMatchObject({
    name: "phone",
    scopes: ["inference", "metrics"],
    rpm: 60,
  });
  const shown = page.getByRole("dialog", { name: "New secret of phone" });
  await expect(shown.getByTestId("secret")).toHaveText("sk-secret-of-phone");
  await shown.getByRole("button", { name: "I have it" }).click();
  await expect(shown).toBeHidden();
  await expect(page.locator("body")).not.toContainText("sk-secret-of-phone");

  await page.getByRole("button", { name: "Change phone" }).click();
  const change = page.getByRole("dialog", { name: "Change phone" });
  await change.getByLabel("Requests per minute").fill("120");
  await change.getByLabel("Expires").selectOption("never");
  await change.getByRole("button", { name: "Save" }).click();
  const phone = keys.locator("> li").filter({ has: page.getByRole("heading", { name: "phone" }) });
  await expect(phone).toContainText("of 120 / min left");
  await expect(phone).toContainText("never expires");

  await page.getByRole("button", { name: "Rotate phone" }).click();
  await page.getByRole("button", { name: "Rotate", exact: true }).click();
  await expect(shown.getByTestId("secret")).toHaveText("sk-rotated-phone");
  await shown.getByRole("button", { name: "I have it" }).click();

  await page.getByRole("button", { name: "Revoke phone" }).click();
  await page.getByRole("button", { name: "Revoke", exact: true }).click();
  await expect(phone).toHaveCount(0);
  await page.getByRole("button", { name: "Show 2 revoked or expired" }).click();
  await expect(page.getByRole("list", { name: "Revoked and expired keys" })).toContainText("phone");
  expect(violations).toEqual([]);
});

test("usage says its period, a spent limit says when it frees, and a name opens the key's charts", async ({
  page,
}) => {
  await enterKey(page, service.url, "demo", "/?page=keys&q=x");
  const rowOf = (name: string) =>
    page.locator("li").filter({ has: page.getByRole("heading", { name, exact: true }) });
  await expect(rowOf("spent")).toContainText("spent: 5 / min; the next is accepted in 12 s");
  await expect(rowOf("laptop")).toContainText(/\d+ requests in 7 days/);
  await expect(rowOf("laptop")).toContainText(/[\d,]+ requests since \d+ \w+ 20\d\d/);
  await expect(rowOf("admin")).toContainText("requests in all");
  await rowOf("laptop").getByRole("link", { name: "laptop" }).click();
  await expect(page).toHaveURL(/page=overview&key_name=laptop$/);
  const board = page.getByRole("region", { name: "Requests of the key laptop" });
  await expect(board.locator("[data-chart]")).toHaveCount(4);
});

test("a refusal is shown in the dialog, in the service's words", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=keys");
  await page.route("**/api/keys/*", (route) =>
    route.fulfill({
      status: 409,
      json: { error: { message: "It is the last key with the scope admin.", code: "x" } },
    }),
  );
  await page.getByRole("button", { name: "Revoke laptop" }).click();
  await page.getByRole("button", { name: "Revoke", exact: true }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).toHaveText(
    "It is the last key with the scope admin.",
  );
});

test("without the scope admin the page says so and sends no request", async ({ page }) => {
  const asked: string[] = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await enterKey(page, service.url, "watcher", "/?page=keys");
  await expect(page.getByText("lacks the scope admin")).toBeVisible();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Keys");
  expect(asked).not.toContain("/api/keys");
});
