/** The golden path against the real service with its bundled model. */

import { expect, test } from "@playwright/test";
import { ask, enterKey, expectChart, watchPolicy } from "./steps";

const url = process.env.DASHBOARD_URL ?? "";
const key = process.env.DASHBOARD_KEY ?? "";

test.skip(url === "" || key === "", "DASHBOARD_URL and DASHBOARD_KEY name no running service");

test("a user enters the key, chats, sees the answer stream and the charts move", async ({
  page,
}) => {
  const violations = watchPolicy(page);
  await enterKey(page, url, key);
  await expect(page.getByRole("banner").getByText("Ready")).toBeVisible();
  await expect(
    page.getByText(/pocket: a \d+(\.\d)? M-parameter demonstration model/),
  ).toBeVisible();
  await expectChart(page, "Time to first token");
  const requests = page.getByRole("img", { name: /^Requests, last/ });
  const before = await requests.getAttribute("aria-label");

  await page.getByRole("link", { name: "Playground" }).click();
  await page.evaluate(watchGrowth);
  await ask(page, "Tell me a short story about a fox");
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer.getByText(/\d+ in \(\d+ cached\), \d+ out/)).toBeVisible();
  await expect(answer.getByText(/^TTFT \d/)).toBeVisible();
  const lengths = await page.evaluate(() => window.answerLengths);
  expect(lengths.length, "the text grew in several pieces").toBeGreaterThan(3);
  expect([...lengths].sort((a, b) => a - b)).toEqual(lengths);

  await page.getByRole("link", { name: "Overview" }).click();
  await expect(requests).not.toHaveAttribute("aria-label", before ?? "");
  await expect(requests).toHaveAttribute("aria-label", /stop latest .* highest (?!0\/s)/);
  const newest = page
    .getByRole("region", { name: "Recent requests", exact: true })
    .locator("tbody tr")
    .first();
  await expect(newest).toContainText("chat stream");
  await expect(newest).toContainText(/stop|length/);
  expect(violations).toEqual([]);
});

test("the model remembers what was said two turns before", async ({ page }) => {
  await enterKey(page, url, key, "/?page=playground");
  const answers = page.getByTestId("answer-text");
  const finished = page.getByText(/\d+ in \(\d+ cached\), \d+ out/);
  await page.getByRole("slider", { name: "Temperature" }).press("Home");
  for (const [n, text] of ["My name is Anna.", "What is 7 plus 5?", "What is my name?"].entries()) {
    await ask(page, text);
    await expect(finished).toHaveCount(n + 1);
  }
  await expect(answers.nth(1)).toContainText("12");
  await expect(answers.nth(2)).toContainText("Anna");
});

test("a wrong key is refused in the service's words", async ({ page }) => {
  await enterKey(page, url, "sk-not-a-key");
  await expect(
    page.getByText(/key/i).filter({ hasText: /invalid|not|unknown|wrong/i }),
  ).toBeVisible();
  await expect(page.getByRole("button", { name: "Open the dashboard" })).toBeVisible();
});

declare global {
  interface Window {
    answerLengths: number[];
  }
}

/** Runs in the page: notes each length that the answer's text takes. */
function watchGrowth(): void {
  window.answerLengths = [];
  new MutationObserver(() => {
    const length = document.querySelector("[data-testid=answer-text]")?.textContent.length ?? 0;
    if (length !== (window.answerLengths.at(-1) ?? 0)) window.answerLengths.push(length);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}
