import { expect, test } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey } from "./steps";

const service = new MockService();

test.beforeEach(() => service.start());
test.afterEach(() => service.kill());

test("no key press loses a secret that was not copied", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=keys");
  await page.getByRole("button", { name: "Create a key" }).click();
  const form = page.getByRole("dialog", { name: "Create a key" });
  await form.getByLabel("Name").fill("phone");
  await form.getByRole("button", { name: "Create the key" }).click();
  const dialog = page.getByRole("dialog", { name: "New secret of phone" });
  const secret = dialog.getByTestId("secret");
  await expect(secret).toHaveText("sk-secret-of-phone");
  await expect(dialog.getByRole("button", { name: "Copy" })).toBeFocused();
  for (const key of ["Escape", "Escape", "1", "t", "p"]) await page.keyboard.press(key);
  await expect(secret).toBeVisible();
  await expect(page).toHaveURL(/page=keys/);
  await expect(dialog.getByRole("alert")).toContainText("it cannot be shown again");
  const question = page.waitForEvent("dialog");
  void page.reload().catch(() => undefined);
  await (await question).dismiss();
  await expect(secret).toBeVisible();

  // Copied by hand, it is safe.
  await secret.click();
  await secret.press("ControlOrMeta+c");
  await expect(dialog.getByRole("alert")).toHaveCount(0);
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
});

test("a secret that was not copied is given up by a button only", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=keys");
  await page.getByRole("button", { name: "Rotate laptop" }).click();
  await page.getByRole("button", { name: "Rotate", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "New secret of laptop" });
  await expect(dialog.getByRole("button", { name: "Copy" })).toBeFocused();
  await page.keyboard.press("Escape");
  await dialog.getByRole("button", { name: "Close without copying" }).click();
  await expect(dialog).toBeHidden();
});
