/** The main user journeys, against the real service with its bundled model. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "@playwright/test";
import { ask, enterKey, expectChart, slowLine, watchErrors, watchPolicy } from "./steps";

const url = process.env.DASHBOARD_URL ?? "";
const key = process.env.DASHBOARD_KEY ?? "";

/** A service that was started with LLM_REQUIRE_KEYS=false. */
const openUrl = process.env.DASHBOARD_OPEN_URL ?? "";

test.skip(
  [url, key, openUrl].includes(""),
  "DASHBOARD_URL, DASHBOARD_KEY and DASHBOARD_OPEN_URL name no running services",
);

test("a user enters the key, chats, sees the answer stream and the charts move", async ({
  page,
}) => {
  const violations = watchPolicy(page);
  const errors = watchErrors(page);
  await page.goto(url);
  await expect(page.getByLabel("API key")).toBeVisible();
  expect(errors, "opening the page asks nothing that is refused").toEqual([]);
  await enterKey(page, url, "sk-not-a-key");
  await expect(
    page.getByText(/key/i).filter({ hasText: /invalid|not|unknown|wrong/i }),
    "a wrong key is refused in the service's words",
  ).toBeVisible();
  await expect.poll(() => errors, "what is refused does show there").toHaveLength(1);
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Open the dashboard" }).click();
  await expect(page.getByRole("banner").getByText("Ready")).toBeVisible();
  await expect(
    page.getByText(/pocket: a \d+(\.\d)? M-parameter demonstration model/),
  ).toBeVisible();
  await expectChart(page, "Time to first token");
  const requests = page.getByRole("application", { name: /^Requests, last/ });
  const before = await requests.getAttribute("aria-label");

  await page.getByRole("link", { name: "Playground" }).click();
  await page.evaluate(watchGrowth);
  const line = await slowLine(page); // else a whole answer may come between two frames
  await ask(page, "Tell me a short story about a fox");
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer.getByText(/\d+ in \(\d+ cached\), \d+ out/)).toBeVisible();
  await expect(answer.getByText(/^TTFT \d/)).toBeVisible();
  await line.detach();
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

test("the model remembers a message from two turns before", async ({ page }) => {
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

test("a new key is accepted until it is revoked, and its request is shown in detail", async ({
  page,
}) => {
  const violations = watchPolicy(page);
  const name = `visitor-${Date.now() % 1_000_000}`;
  await enterKey(page, url, key, "/?page=keys");
  await page.getByRole("button", { name: "Create a key" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Create the key" }).click();
  const secret = await page.getByTestId("secret").innerText();
  await page.getByRole("button", { name: "I have it" }).click();
  const chat = () =>
    page.request.post(`${url}/v1/chat/completions`, {
      headers: { Authorization: `Bearer ${secret}` },
      data: { model: "pocket", messages: [{ role: "user", content: "What is 7 plus 5?" }] },
    });
  expect((await chat()).status()).toBe(200);

  await page.getByRole("link", { name: "Requests", exact: true }).click();
  await page.getByLabel("Filter the requests").fill(name);
  const finished = page.getByRole("region", { name: "Finished requests", exact: true });
  await finished.getByRole("button", { name: /details$/ }).click();
  await expect(finished.getByText("writing the answer")).toBeVisible();

  await page.getByRole("link", { name: "Keys", exact: true }).click();
  await page.getByRole("button", { name: `Revoke ${name}` }).click();
  await page.getByRole("button", { name: "Revoke", exact: true }).click();
  await expect(page.getByRole("button", { name: `Revoke ${name}` })).toHaveCount(0);
  expect((await chat()).status()).toBe(401);
  expect(violations).toEqual([]);
});

test("an administrator cancels a running answer, and its caller gets an error", async ({
  page,
}) => {
  await enterKey(page, url, key, "/?page=requests");
  const running = page.getByRole("region", { name: "Running requests" });
  await expect(running).toBeVisible();
  const answer = page.request.post(`${url}/v1/chat/completions`, {
    headers: { Authorization: `Bearer ${key}` },
    // Enough random tokens, of which no draft is right, that it still runs when the button is found.
    data: {
      model: "pocket",
      messages: [{ role: "user", content: "Tell me a short story about a fox" }],
      max_tokens: 1500,
      ignore_eos: true,
      temperature: 2,
    },
  });
  await running.getByRole("button", { name: "Cancel" }).first().click();
  await page.getByRole("button", { name: "Cancel the request" }).click();
  const { error } = (await (await answer).json()) as { error?: { message: string } };
  expect(error?.message).toMatch(/cancel/i);
});

test("an answer has both measurements, and its code sends the same request", async ({ page }) => {
  const violations = watchPolicy(page);
  await enterKey(page, url, key, "/?page=playground");
  await page.getByRole("slider", { name: "Temperature" }).press("Home");
  await ask(page, "What is 7 plus 5?");
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer.getByText(/\d+ in \(\d+ cached\), \d+ out/)).toBeVisible();
  await expect(answer).toContainText("12");
  await answer.getByRole("button", { name: "Timings" }).click();
  // The service's record comes after the answer and fills its column.
  await expect(answer.getByRole("row", { name: /^decode \d.*s –$/ })).toBeVisible();
  await expect(answer.getByRole("row", { name: /^TTFT \d.*s \d.*s$/ })).toBeVisible();
  await expect(answer.getByRole("row", { name: /^total \d.*s \d.*s$/ })).toBeVisible();
  const meter = page.getByRole("meter", { name: "Context used" });
  await expect(meter).toHaveAttribute("aria-valuemax", "2048");
  await expect(meter).toContainText(/^[1-9]\d* of 2,048 tokens/);

  await page.getByRole("button", { name: "Show as code" }).click();
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

test("a tool is pasted, the model calls it, and its answer names the result", async ({ page }) => {
  const violations = watchPolicy(page);
  await enterKey(page, url, key, "/?page=playground");
  await page.getByRole("slider", { name: "Temperature" }).press("Home");
  await page.getByRole("textbox", { name: "Tools" }).fill(
    JSON.stringify({
      name: "get_weather",
      description: "Get the weather in a city.",
      parameters: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"],
      },
    }),
  );
  await ask(page, "What is the weather in Rome?");
  const call = page.getByRole("group", { name: "Call of get_weather" });
  await expect(call.locator("pre")).toHaveText('{\n  "city": "Rome"\n}');
  await call
    .getByRole("textbox", { name: "Result of get_weather" })
    .fill('{"temperature": 22, "condition": "sunny"}');
  await page.keyboard.press("Enter");
  const answer = page.getByTestId("answer-text");
  await expect(answer).toContainText("22");
  await expect(answer).toContainText("sunny");
  expect(violations).toEqual([]);
});

test("a benchmark runs, its limit is given to a key, and it can be stopped", async ({ page }) => {
  test.slow(); // It measures for up to 90 seconds.
  const violations = watchPolicy(page);
  const headers = { Authorization: `Bearer ${key}` };
  const name = `measured-${Date.now() % 1_000_000}`;
  const data = { name, scopes: ["inference"], rpm: 7 };
  const made = await page.request.post(`${url}/api/keys`, { headers, data });
  const { id } = (await made.json()) as { id: string };
  await enterKey(page, url, key, "/?page=engine");
  const benchmark = page.getByRole("region", { name: "Benchmark", exact: true });
  await benchmark.getByRole("button", { name: "Run a benchmark" }).click();
  const apply = benchmark.getByRole("button", { name: /^Set [\d,]+ requests per minute$/ });
  await expect(apply).toBeVisible({ timeout: 100_000 });
  expect(await benchmark.getByRole("row").count()).toBeGreaterThan(1);
  await benchmark.getByLabel("Key").selectOption({ label: `${name} (7 requests per minute)` });
  await apply.click();
  await expect(benchmark).toContainText(`The limit of ${name} is now`);

  const running = async () => {
    const answer = await page.request.get(`${url}/api/requests`, { headers });
    const list = (await answer.json()) as { running: { request_id: string }[] };
    return list.running.filter(({ request_id }) => request_id.startsWith("benchmark-")).length;
  };
  await benchmark.getByRole("button", { name: "Run it again" }).click();
  await expect.poll(running, { intervals: [20] }).toBe(1);
  await benchmark.getByRole("button", { name: "Stop the benchmark" }).click();
  await expect.poll(running).toBe(0);
  await expect(benchmark).toContainText("Stopped.");
  await page.request.delete(`${url}/api/keys/${id}`, { headers });
  expect(violations).toEqual([]);
});

test("the engine page shows the facts, and the alerts page says how to get Prometheus", async ({
  page,
}) => {
  await enterKey(page, url, key, "/?page=engine");
  await expect(page.getByRole("region", { name: "Model" })).toContainText("Qwen2ForCausalLM");
  await expect(page.getByRole("region", { name: "Machine" })).toContainText(/processor.+cores/);
  await expectChart(page, "Duty cycle");
  await page.getByRole("link", { name: "Alerts & SLO" }).click();
  const notice = page.getByRole("status").filter({ hasText: "need Prometheus" });
  await expect(notice).toContainText("LLM_PROMETHEUS_URL");
  await expect(notice).toContainText("docker compose up");
});

test("if the service requires no key, every page opens, and chat and code work without one", async ({
  page,
}) => {
  const violations = watchPolicy(page);
  const errors = watchErrors(page);
  const refusals: string[] = [];
  page.on("response", (response) => {
    if (response.status() >= 400) refusals.push(`${response.status()} ${response.url()}`);
  });
  await page.goto(openUrl);
  await expectChart(page, "Memory");
  for (const name of ["Requests", "Engine", "Keys", "Alerts & SLO"]) {
    await page.getByRole("link", { name, exact: true }).click();
    await expect(page.getByRole("link", { name, exact: true })).toHaveAttribute("aria-current");
    await expect(page.getByRole("main").getByRole("heading").first()).toBeVisible();
  }
  await page.getByRole("link", { name: "Playground" }).click();
  await ask(page, "What is 7 plus 5?");
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer.getByText(/\d+ in \(\d+ cached\), \d+ out/)).toBeVisible();
  await page.getByRole("button", { name: "Show as code" }).click();
  const command = await page.getByRole("dialog").locator("pre").innerText();
  expect(command).not.toContain("Authorization");
  const { stdout } = await promisify(execFile)("sh", ["-c", command]);
  expect(stdout).toContain("data: [DONE]");
  await expect(page.getByLabel("API key")).toHaveCount(0);
  expect(refusals).toEqual([]);
  expect(errors).toEqual([]);
  expect(violations).toEqual([]);
});

declare global {
  interface Window {
    answerLengths: number[];
  }
}

/** Runs in the page: records each length of the answer's text. */
function watchGrowth(): void {
  window.answerLengths = [];
  new MutationObserver(() => {
    const length = document.querySelector("[data-testid=answer-text]")?.textContent.length ?? 0;
    if (length !== (window.answerLengths.at(-1) ?? 0)) window.answerLengths.push(length);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}
