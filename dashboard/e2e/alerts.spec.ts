import { expect, test } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start("alert"));
test.afterAll(() => service.kill());

test("without Prometheus, the service's own last hour is judged and marked as such", async ({
  page,
}) => {
  const alone = new MockService();
  await alone.start();
  await enterKey(page, alone.url, "demo", "/?page=alerts");
  await expect(page.getByText("From the service's own last hour")).toBeVisible();
  await expect(page.getByText("No alert is firing, and all objectives are met.")).toBeVisible();
  const availability = page.getByRole("region", { name: "99 % of requests are answered" });
  await expect(availability).toContainText("the objective is 99 % over the last 1 h.");
  await expect(availability.getByRole("row").nth(1)).toContainText("ok");
  await expect(availability.getByRole("row").nth(3)).toContainText("needs Prometheus");
  await expect(page.getByRole("button", { name: "Runbook for RedisDown" })).toBeVisible();
  await alone.kill();
});

test("shows what is left, what burns, what fires, and what to do", async ({ page }) => {
  const violations = watchPolicy(page);
  await enterKey(page, service.url, "demo", "/?page=alerts");
  await expect(page.getByText("Firing: AvailabilityBurn, 1 pending.")).toBeVisible();
  const availability = page.getByRole("region", { name: "99 % of requests are answered" });
  await expect(availability).toContainText("38 % of the budget left");
  await expect(availability).toContainText("99.38 % of 48,211 requests were good");
  await expect(availability.getByRole("img", { name: /^Budget left since/ })).toBeVisible();
  await expect(availability.getByRole("row").nth(1)).toHaveText(
    /page13\.44×15\.2×.*21\.4×.*burning/,
  );
  await expect(availability.getByRole("row").nth(4)).toContainText("1 of 2");

  const active = page.getByRole("list", { name: "Active alerts" }).getByRole("listitem");
  await expect(active).toHaveCount(2);
  await expect(active.nth(0)).toContainText("0.4 % of the requests failed in the last hour.");
  await expect(active.nth(0)).toContainText("page · for 4 min · value 15.2");

  await active.nth(0).getByRole("button", { name: "Runbook for AvailabilityBurn" }).click();
  const runbook = page.getByRole("dialog", { name: "AvailabilityBurn" });
  await expect(runbook.locator("pre")).toHaveText("docker compose logs --since 30m llm_service");
  await expect(runbook).toContainText("<b>be calm</b>");
  await runbook.getByRole("button", { name: "QueueNearFull" }).click();
  await expect(page.getByRole("dialog", { name: "QueueNearFull" })).toContainText(
    "QueueNearFull says that something is wrong.",
  );
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect(violations).toEqual([]);
});
