/** The playground and the alerts against the real service with its bundled model. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "@playwright/test";
import { ask, enterKey, watchPolicy } from "./steps";

const url = process.env.DASHBOARD_URL ?? "";
const key = process.env.DASHBOARD_KEY ?? "";

test.skip(url === "" || key === "", "DASHBOARD_URL and DASHBOARD_KEY name no running service");

test("an answer is accounted for by both sides, and its code asks the same", async ({ page }) => {
  const violations = watchPolicy(page);
  await enterKey(page, url, key, "/?page=playground");
  await page.getByRole("slider", { name: "Temperature" }).press("Home");
  await ask(page, "What is 7 plus 5?");
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer.getByText(/\d+ in \(\d+ cached\), \d+ out/)).toBeVisible();
  await expect(answer).toContainText("12");
  await answer.getByRole("button", { name: "Timings" }).click();
  // The record comes from the service after the answer: no dash where it knows.
  await expect(answer.getByRole("row", { name: /^decode \d.*s –$/ })).toBeVisible();
  await expect(answer.getByRole("row", { name: /^TTFT \d.*s \d.*s$/ })).toBeVisible();
  await expect(answer.getByRole("row", { name: /^total \d.*s \d.*s$/ })).toBeVisible();
  const meter = page.getByRole("meter", { name: "Context used" });
  await expect(meter).toHaveAttribute("aria-valuemax", "2048");
  await expect(meter).toContainText(/^[1-9]\d* of 2,048 tokens/);

  await page.getByRole("button", { name: "The same as code" }).click();
  const command = await page.getByRole("dialog").locator("pre").innerText();
  const env = { ...process.env, LLM_KEY: key };
  const { stdout } = await promisify(execFile)("sh", ["-c", command], { env });
  expect(stdout).toContain("data: [DONE]");
  const pieces = Array.from(
    stdout.matchAll(/"content": ?"((?:[^"\\]|\\.)*)"/g),
    ([, text]) => text,
  );
  expect(pieces.join("")).toContain("12");
  expect(violations).toEqual([]);
});

test("without Prometheus the alerts say so, and how to get it", async ({ page }) => {
  await enterKey(page, url, key, "/?page=alerts");
  const notice = page.getByRole("status").filter({ hasText: "without Prometheus" });
  await expect(notice).toContainText("LLM_PROMETHEUS_URL");
  await expect(notice).toContainText("make up");
});
