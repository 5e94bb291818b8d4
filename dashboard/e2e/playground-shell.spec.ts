/** The playground and the shell for keyboards, screen readers and small screens. */

import { expect, test, type Page } from "@playwright/test";
import { violationsOf } from "./axe";
import { MockService } from "./mock-service";
import { ask, enterKey } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

/** Fills the playground with everything that it can show. */
async function fill(page: Page): Promise<void> {
  const answers = page.getByRole("article", { name: "Answer" });
  await ask(page, "math and a rather long question, so that its title takes more than one line");
  await expect(answers.first().locator("math")).toHaveCount(4);
  await page.getByRole("button", { name: "Regenerate the answer" }).click();
  await expect(page.getByRole("group", { name: "Version 2 of 2" })).toBeVisible();
  await expect(answers.first()).toContainText("24 in");
  await page.getByLabel("Two answers side by side").check();
  await page.getByTestId("files").setInputFiles({
    name: "notes.txt",
    mimeType: "text/plain",
    buffer: Buffer.from("one\ntwo"),
  });
  await ask(page, "compare");
  for (const side of ["Left answer", "Right answer"]) {
    await expect(page.getByRole("region", { name: side })).toContainText("24 in");
  }
  await page.getByTestId("files").setInputFiles({
    name: "more.txt",
    mimeType: "text/plain",
    buffer: Buffer.from("three"),
  });
  await page.getByRole("searchbox").fill("compare");
  await expect(page.locator("mark")).toBeVisible();
}

test("no rule finds anything on the playground, nor does an experimental one", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=playground");
  expect(await violationsOf(page), "empty").toEqual([]);
  await fill(page);
  expect(await violationsOf(page), "full").toEqual([]);
  await page.screenshot({ path: "test-results/full-light.png" });
  await page.emulateMedia({ colorScheme: "dark" });
  await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "dark");
  expect(await violationsOf(page), "dark").toEqual([]);
  await page.screenshot({ path: "test-results/full-dark.png" });
  await page.setViewportSize({ width: 390, height: 800 });
  expect(await violationsOf(page), "on a phone").toEqual([]);
  await page.screenshot({ path: "test-results/full-phone.png" });
});

test("no text of the playground is cut at any width", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=playground");
  await fill(page);
  for (const width of [320, 390, 700, 760, 1040, 1280, 2560]) {
    await page.setViewportSize({ width, height: 800 });
    await expect.poll(() => page.evaluate(cutTexts), { message: `at ${width} px` }).toEqual([]);
  }
});

/** Runs in the page: the texts that do not fit the elements that clip them. */
function cutTexts(): string[] {
  return Array.from(document.querySelectorAll<HTMLElement>("body *"))
    .filter((element) => {
      const { overflowX, display } = getComputedStyle(element);
      const isClipping = overflowX === "hidden" || overflowX === "clip";
      const isField = element.matches("input, textarea, select, [aria-hidden]");
      const isShown = element.clientWidth > 1 && element.checkVisibility();
      const isInline = display === "inline";
      return isClipping && isShown && !isField && !isInline && element.textContent.trim() !== "";
    })
    .filter((element) => element.scrollWidth > element.clientWidth + 1)
    .map((element) => `${element.className}: ${element.textContent.slice(0, 60)}`);
}

test("the focus follows the page, and a link leads past the navigation", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=playground");
  await expect(page.getByRole("textbox", { name: "Message" })).toBeVisible();
  for (const [key, title] of [
    ["2", "Requests"],
    ["4", "Keys"],
    ["6", "New conversation"],
  ] as const) {
    await page.keyboard.press(key);
    await expect(page.getByRole("heading", { level: 1, name: title })).toBeFocused();
  }
  await page.getByRole("link", { name: "Engine" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toBeFocused();
  await page.reload();
  await page.getByLabel("API key").fill("demo");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("link", { name: "Engine" })).toBeVisible();
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to the content" });
  await expect(skip).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("main")).toBeFocused();
});

test("the fields of a phone have letters of 16 pixels, so that it does not zoom", async ({
  page,
}) => {
  await page.setViewportSize({ width: 390, height: 800 });
  await enterKey(page, service.url, "demo", "/?page=playground");
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Conversations" }).click({ force: true });
  await expect(page.getByRole("textbox", { name: "Message" })).toBeVisible();
  const sizes = await page
    .locator("input:not([type=file], [type=checkbox]), textarea, select")
    .evaluateAll((fields) => fields.map((field) => getComputedStyle(field).fontSize));
  expect(new Set(sizes)).toEqual(new Set(["16px"]));
});

test("says that the model is loading, and which model is gone", async ({ page }) => {
  const loading = new MockService();
  await loading.start("loading");
  try {
    await page.setViewportSize({ width: 1280, height: 900 });
    await enterKey(page, loading.url, "demo", "/?page=playground");
    await expect(page.getByText("Not ready: loading the model.")).toBeVisible();
  } finally {
    await loading.kill();
  }
});
