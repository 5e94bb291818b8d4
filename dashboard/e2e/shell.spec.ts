import { expect, test, type Locator } from "@playwright/test";
import { MockService } from "./mock-service";
import { enterKey, watchErrors, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

/** Elements whose content is wider than they are, without those that scroll. */
async function cutIn(part: Locator): Promise<string[]> {
  return part.evaluate((root) =>
    [root, ...root.querySelectorAll("*")]
      .filter((element) => element.scrollWidth > element.clientWidth + 1)
      .filter((element) => !/inline|contents/.test(getComputedStyle(element).display))
      .filter((element) => !/auto|scroll/.test(getComputedStyle(element).overflowX))
      .map((element) => element.outerHTML.slice(0, 200)),
  );
}

test("the key page waits for a key, and asks for one in words if it gets none", async ({
  page,
}) => {
  const errors = watchErrors(page);
  await page.goto(service.url);
  const field = page.getByLabel("API key");
  await expect(field).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByText(/^Enter an API key\./)).toBeVisible();
  await expect(field).toBeFocused();
  expect(errors, "nothing was sent that the service refused").toEqual([]);
  await page.keyboard.type("demo");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("banner").getByText("Ready")).toBeVisible();
});

for (const width of [320, 390, 768, 1280, 2560]) {
  test(`the version opens the release notes, whole at ${width} px`, async ({ page }) => {
    const violations = watchPolicy(page);
    await page.setViewportSize({ width, height: 800 });
    await enterKey(page, service.url, "demo", "/?page=alerts");
    const footer = page.getByRole("contentinfo");
    await footer.getByRole("button", { name: /^llm_service 0\.1\.0: release notes$/ }).click();
    const notes = page.getByRole("dialog", { name: "Release notes" });
    await expect(notes.getByRole("heading", { name: /^0\.1\.0/ })).toBeVisible();
    await expect(notes.getByText(/starts the service in containers with Redis/)).toBeVisible();
    expect(await cutIn(notes)).toEqual([]);
    await page.keyboard.press("Escape");
    await expect(notes).toBeHidden();
    expect(await cutIn(footer)).toEqual([]);
    expect(violations).toEqual([]);
  });
}
