import AxeBuilder from "@axe-core/playwright";
import { expect, test, type Page } from "@playwright/test";
import { MockService } from "./mock-service";
import { ask, enterKey, expectChart } from "./steps";

const service = new MockService(8914);

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

async function expectNoViolations(page: Page): Promise<void> {
  await page.mouse.move(0, 0); // Without a tooltip, which lives outside the landmarks.
  await expect(page.getByRole("tooltip")).toBeHidden();
  const { violations } = await new AxeBuilder({ page }).analyze();
  const words = violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html).join(" | ")}`);
  expect(words).toEqual([]);
}

for (const colorScheme of ["light", "dark"] as const) {
  test.describe(`in ${colorScheme}`, () => {
    test.use({ colorScheme });

    test("the key page is accessible", async ({ page }) => {
      await page.goto(service.url);
      await page.getByLabel("API key").waitFor();
      await expectNoViolations(page);
    });

    test("the overview is accessible", async ({ page }) => {
      await enterKey(page, service.url, "demo");
      await expectChart(page, "Memory");
      await page.getByRole("button", { name: "Memory: view as table" }).click();
      await expectNoViolations(page);
    });

    test("the playground is accessible", async ({ page }) => {
      await enterKey(page, service.url, "demo", "/?page=playground");
      await ask(page, "limit");
      await page.getByRole("alert").waitFor();
      await expectNoViolations(page);
    });
  });
}

for (const width of [320, 390, 768, 1280, 2560]) {
  test(`nothing is cut off at ${width} px`, async ({ page }) => {
    await page.setViewportSize({ width, height: 800 });
    await enterKey(page, service.url, "demo");
    await expectChart(page, "Memory");
    for (const name of ["Playground", "Overview"]) {
      await page.getByRole("link", { name }).click();
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(overflow, name).toBe(0);
    }
  });
}
