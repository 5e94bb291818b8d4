/** Nothing of a conversation is lost, whenever its page is closed. */

import { expect, test, type Page } from "@playwright/test";
import { MockService } from "./mock-service";
import { ask, enterKey } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());

/** After a reload the shown part of an answer may be missing what came in this time. */
const MAX_LOST_MILLISECONDS = 250;

async function reenterKey(page: Page): Promise<void> {
  await page.getByLabel("API key").fill("demo");
  await page.keyboard.press("Enter");
}

test("a question and its answer survive a reload at any moment of the stream", async ({ page }) => {
  await enterKey(page, service.url, "demo", "/?page=playground");
  for (const wait of [50, 100, 150, 200, 300, 400, 550, 700, 900, 1200, 1600, 2000]) {
    await page.getByRole("button", { name: "New conversation" }).click();
    const message = page.getByRole("textbox", { name: "Message" });
    await message.fill(`count ${wait}`);
    // In one call, so that the moment is exact: it sends, waits, notes what is shown, and reloads.
    const shown = await page
      .evaluate(reloadAfter, { wait, lost: MAX_LOST_MILLISECONDS })
      .catch(() => page.evaluate(() => sessionStorage.getItem("shown") ?? ""));
    await page.waitForLoadState();
    await reenterKey(page);
    await expect(page.getByText(`count ${wait}`, { exact: true }).last()).toBeVisible();
    const answer = page.getByRole("article", { name: "Answer" });
    await expect(answer, `after ${wait} ms`).toContainText("The page was closed");
    const kept = await textOf(page);
    expect(kept.startsWith(shown), `after ${wait} ms: "${shown}" was shown`).toBe(true);
  }
  expect((await textOf(page)).length, "of the longest one some was shown").toBeGreaterThan(20);
});

/** Runs in the page. Returns what was shown a moment before the reload. */
async function reloadAfter({ wait, lost }: { wait: number; lost: number }): Promise<string> {
  const start = performance.now();
  const seen: [number, string][] = [];
  document
    .querySelector("[data-message]")
    ?.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  while (performance.now() - start < wait) {
    const text = document.querySelector("[data-testid=answer-text]")?.textContent ?? "";
    seen.push([performance.now(), text.trim()]);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const before = performance.now() - lost;
  const shown = seen.filter(([at]) => at <= before).at(-1)?.[1] ?? "";
  sessionStorage.setItem("shown", shown);
  location.reload();
  return shown;
}

async function textOf(page: Page): Promise<string> {
  const text = page.getByTestId("answer-text");
  return (await text.count()) > 0 ? ((await text.textContent()) ?? "").trim() : "";
}

test("an answer survives a crash of its page, and is continued to its end", async ({
  page,
  context,
}) => {
  await enterKey(page, service.url, "demo", "/?page=playground");
  await ask(page, "count");
  await expect(page.getByTestId("answer-text")).toContainText("1 2 3 4 5 6 7 8 9");
  const crashed = page.waitForEvent("crash");
  void page.goto("chrome://crash").catch(() => undefined);
  await crashed;
  const other = await context.newPage();
  await enterKey(other, service.url, "demo", "/?page=playground");
  await other.getByRole("button", { name: "count", exact: true }).click();
  const answer = other.getByRole("article", { name: "Answer" });
  await expect(answer).toContainText("The page was closed while this answer arrived.");
  await expect(answer.getByText("interrupted", { exact: true })).toBeVisible();
  await other.getByRole("button", { name: "Continue the answer" }).click();
  await expect(answer.getByText("continued", { exact: true })).toBeVisible();
  const all = Array.from({ length: 150 }, (_, i) => i + 1).join(" ");
  await expect(other.getByTestId("answer-text")).toHaveText(all);
  await expect(answer).not.toContainText("The page was closed");
});
