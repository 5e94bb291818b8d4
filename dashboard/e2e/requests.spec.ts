import { expect, test } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

test("filters, sorts, opens the waterfall, and keeps the state in the address", async ({
  page,
}) => {
  const violations = watchPolicy(page);
  await enterKey(page, service.url, "demo", "/?page=requests");
  const finished = page.getByRole("region", { name: "Finished requests", exact: true });
  await expect(finished.getByRole("heading")).toContainText("1,000");
  const details = page.getByRole("button", { name: /details$/ });
  await expect(details).toHaveCount(100);
  await page.getByRole("button", { name: "Show 100 more" }).click();
  await expect(details).toHaveCount(200);
  await page.keyboard.press("/");
  await expect(page.getByLabel("Filter the requests")).toBeFocused();
  await page.keyboard.type("internal batch-jobs");
  await expect(page).toHaveURL(/q=internal\+batch-jobs/);
  await expect(finished.getByRole("heading")).toContainText(/\d+ of 1,000/);
  await finished.getByRole("button", { name: "total" }).click();
  await expect(page).toHaveURL(/sort=-total/);
  await finished
    .getByRole("button", { name: /details$/ })
    .first()
    .click();
  await expect(finished.getByText("waiting for a slot")).toBeVisible();
  await expect(finished.getByText("error: internal in decode")).toBeVisible();
  await expect(page).toHaveURL(/request=req-\d+/);
  expect(violations).toEqual([]);
});

test("an administrator cancels a running request after confirming", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=requests");
  const running = page.getByRole("region", { name: "Running requests" });
  await expect(running.getByRole("listitem")).toHaveCount(3);
  await expect(
    running.getByRole("progressbar", { name: "prefill: 512 of 1200 prompt tokens" }),
  ).toBeVisible();
  await running.getByRole("button", { name: "Cancel" }).first().click();
  const dialog = page.getByRole("dialog", { name: "Cancel this request?" });
  await expect(dialog).toContainText("run-1");
  await dialog.getByRole("button", { name: "Cancel the request" }).click();
  await expect(dialog).toBeHidden();
  await expect(running.getByRole("listitem")).toHaveCount(2);
});

test("a key without the scope admin, on a phone, sees cards and no way to cancel", async ({
  page,
}) => {
  await page.setViewportSize({ width: 390, height: 800 });
  await enterKey(page, service.url, "watcher", "/?page=requests&outcome=error");
  await expect(page.getByText("512 of 1200 prompt tokens")).toBeVisible();
  await expect(page.getByRole("button", { name: "Cancel" })).toHaveCount(0);
  const finished = page.getByRole("region", { name: "Finished requests", exact: true });
  await expect(finished.getByRole("table")).toHaveCount(0);
  await finished.getByRole("listitem").first().getByRole("button").first().click();
  await expect(finished.getByText("reading the prompt")).toBeVisible();
});

test("a request in the address is shown although it is not in the visible rows", async ({
  page,
}) => {
  const id = `req-${Math.floor(Date.now() / 3000) - 500}`;
  await enterKey(page, service.url, "demo", `/?page=requests&request=${id}`);
  const linked = page.getByRole("region", { name: "Linked request" });
  await expect(linked).toContainText(id);
  await expect(linked.getByText("prompt tokens", { exact: true })).toBeVisible();
  await linked.getByRole("button", { name: "Close the linked request" }).click();
  await expect(linked).toHaveCount(0);
  await expect(page).not.toHaveURL(/request=/);
  for (const [unknown, words] of [
    ["run-2", "Request run-2 is still running."],
    ["req-0", "Request req-0 is unknown"],
  ] as const) {
    await enterKey(page, service.url, "demo", `/?page=requests&request=${unknown}`);
    await expect(linked).toContainText(words);
  }
});

test("if replicas answer in turn, the list names its replica", async ({ page }) => {
  let count = 0;
  await page.route("**/api/requests*", async (route) => {
    const answer = (await (await route.fetch()).json()) as object;
    await route.fulfill({ json: { ...answer, replica: `replica-${count++ % 2}` } });
  });
  await enterKey(page, service.url, "demo", "/?page=requests");
  await expect(page.getByText(/comes from replica-[01], one of 2 replicas\./)).toBeVisible();
  await page.unrouteAll({ behavior: "ignoreErrors" });
});
