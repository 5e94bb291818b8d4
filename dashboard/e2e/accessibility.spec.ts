import { expect, test } from "@playwright/test";
import { axeOf, expectNoViolations, violationsOf } from "./axe";
import { MockService } from "./mock-service";
import { ask, enterKey, expectChart } from "./steps";

/** With a firing alert, so that every part of the dashboard has something to show. */
const service = new MockService();

test.beforeAll(() => service.start("alert"));
test.afterAll(() => service.kill());

test("the key page and the overview with a firing alert are accessible", async ({ page }) => {
  await page.goto(service.url);
  await page.getByLabel("API key").waitFor();
  await expectNoViolations(page);
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  await page.getByRole("list", { name: "Firing alerts" }).waitFor();
  await expectNoViolations(page);
  await page.getByRole("button", { name: "Memory: view as table" }).click();
  // Contrast is checked cell by cell, and all cells look the same.
  const table = axeOf(page).include("[data-chart=memory]");
  expect(await violationsOf(page, table.disableRules("color-contrast"))).toEqual([]);
});

test("the requests and the engine are accessible", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=requests&outcome=error&q=batch-jobs");
  await page
    .getByRole("button", { name: /details$/ })
    .first()
    .click();
  await page.getByText("reading the prompt").waitFor();
  await expectNoViolations(page);
  await page.getByRole("link", { name: "Engine" }).click();
  await page.getByRole("region", { name: "Machine" }).waitFor();
  await expectNoViolations(page);
});

test("the keys and the form that creates one are accessible", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=keys");
  await page.getByRole("button", { name: /revoked or expired/ }).click();
  await expectNoViolations(page);
  await page.getByRole("button", { name: "Create a key" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("no good");
  await expectNoViolations(page);
});

test("the alerts and a runbook are accessible", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=alerts");
  await page.getByRole("button", { name: "Runbook for RedisDown" }).waitFor();
  await expectNoViolations(page);
  await page.getByRole("button", { name: "Runbook for RedisDown" }).press("Enter");
  const runbook = page.getByRole("dialog", { name: "RedisDown" });
  await runbook.locator("pre").waitFor();
  // While it fades in, its contrast is too low.
  await expect(runbook).toHaveCSS("opacity", "1");
  await expectNoViolations(page);
});

test("the playground is accessible: answers, a failure, the list and every setting", async ({
  page,
}) => {
  await enterKey(page, service.url, "demo", "/?page=playground");
  await ask(
    page,
    "- [x] a task\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n# Heading\n\n[link](https://x.y)",
  );
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer.locator(".hljs-built_in")).toHaveText("print");
  await answer.getByRole("button", { name: "Timings" }).click();
  await ask(page, "limit");
  await page.getByRole("alert").waitFor();
  await page.getByText("More", { exact: true }).click();
  await page.getByLabel("Stop strings").fill("x");
  const list = page.getByRole("navigation", { name: "Conversations" });
  await list.getByRole("button", { name: /task/ }).first().focus();
  await expectNoViolations(page);
});

test("tool calls, reasoning, a schema and their settings are accessible", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=playground");
  await page.getByRole("button", { name: "Insert an example: JSON schema" }).click();
  await ask(page, "wrong think");
  await page.getByText("Does not fit the schema").waitFor();
  await page.getByRole("button", { name: /^Thought for/ }).click();
  await page.getByRole("button", { name: "Clear: JSON schema" }).click();
  await page.getByRole("button", { name: "Insert an example: Tools" }).click();
  await ask(page, "weather");
  await page.getByRole("textbox", { name: "Result of get_weather" }).fill("22 degrees");
  await page.getByRole("button", { name: "Send the result" }).click();
  await page.getByText("The tools said: 22 degrees").waitFor();
  await ask(page, "both");
  await page.getByRole("textbox", { name: "Result of get_weather" }).nth(1).waitFor();
  await page.getByRole("textbox", { name: "JSON schema" }).fill("{");
  await page.getByText(/^Line 1, column 2/).waitFor();
  await expectNoViolations(page);
});

test("the results of a benchmark and the release notes are accessible", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=engine");
  await page.getByRole("button", { name: "Run a benchmark" }).click();
  await page.getByText("Proposed limits").waitFor({ timeout: 120_000 });
  await expectNoViolations(page);
  await page.getByRole("button", { name: /release notes$/ }).click();
  const notes = page.getByRole("dialog", { name: "Release notes" });
  await notes.getByRole("heading", { name: /^0\.1\.0/ }).waitFor();
  // While it fades in, its contrast is too low.
  await expect(notes).toHaveCSS("opacity", "1");
  await expectNoViolations(page);
});

test("nothing is cut off, from a small phone to a wide screen", async ({ page }) => {
  await enterKey(page, service.url, "demo");
  await expectChart(page, "Memory");
  for (const name of ["Requests", "Engine", "Keys", "Alerts & SLO", "Playground", "Overview"]) {
    const link = page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name });
    await link.click();
    await expect(link).toHaveAttribute("aria-current");
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    for (const width of [320, 390, 768, 1280, 2560]) {
      await page.setViewportSize({ width, height: 800 });
      const overflow = () =>
        page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
      await expect.poll(overflow, { message: `${name} at ${width} px` }).toBe(0);
    }
  }
});
