import AxeBuilder from "@axe-core/playwright";
import { expect, test, type Page } from "@playwright/test";
import { MockService } from "./mock-service";
import { ask, enterKey, expectChart } from "./steps";

const service = new MockService(8914);

const alerting = new MockService(8918);

test.beforeAll(() => Promise.all([service.start(), alerting.start("alert")]));
test.afterAll(() => Promise.all([service.kill(), alerting.kill()]));

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

    test("the overview with a firing alert is accessible", async ({ page }) => {
      await enterKey(page, alerting.url, "demo");
      await page.getByRole("list", { name: "Firing alerts" }).waitFor();
      await expectNoViolations(page);
    });

    test("the requests are accessible", async ({ page }) => {
      await enterKey(page, service.url, "demo", "/?page=requests&outcome=error");
      await page
        .getByRole("button", { name: /details$/ })
        .first()
        .click();
      await page.getByText("reading the prompt").waitFor();
      await expectNoViolations(page);
    });

    test("the engine is accessible", async ({ page }) => {
      await enterKey(page, service.url, "demo", "/?page=engine");
      await page.getByRole("region", { name: "Machine" }).waitFor();
      await expectNoViolations(page);
    });

    test("the keys are accessible, and so is making one", async ({ page }) => {
      await enterKey(page, service.url, "demo", "/?page=keys");
      await page.getByRole("button", { name: /revoked or expired/ }).click();
      await expectNoViolations(page);
      await page.getByRole("button", { name: "Create a key" }).click();
      await page.getByRole("dialog").getByLabel("Name").fill("no good");
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
    for (const name of ["Requests", "Engine", "Keys", "Alerts & SLO", "Playground", "Overview"]) {
      await page.getByRole("link", { name, exact: true }).click();
      await expect(page.getByRole("link", { name, exact: true })).toHaveAttribute("aria-current");
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(overflow, name).toBe(0);
    }
  });
}
