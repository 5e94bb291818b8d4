// Takes the README's pictures from a running service, under a load that it makes itself.
//   DASHBOARD_URL=http://127.0.0.1:8000 DASHBOARD_KEY=... npm run screenshots
import { chromium } from "@playwright/test";
import { fileURLToPath } from "node:url";

const { DASHBOARD_URL: url, DASHBOARD_KEY: key, CHROMIUM_PATH: chromiumPath } = process.env;
const LOAD_SECONDS = Number(process.env.LOAD_SECONDS ?? 320);
const FOLDER = fileURLToPath(new URL("../../docs/images/", import.meta.url));
if (!url || !key) throw new Error("set DASHBOARD_URL and DASHBOARD_KEY");

const PROMPTS = [
  "What is 7 plus 5?",
  "Tell me a short story about a fox",
  "What is a KV cache?",
  "Sort these words: pear, apple, fig, cherry",
  "What is the capital of France?",
  "Count from 1 to 12",
];

/** One caller: asks, reads the answer, now and then hangs up early, pauses, asks again. */
async function keepAsking(caller, until) {
  for (let n = caller; Date.now() < until; n++) {
    const controller = new AbortController();
    if (n % 11 === 0) setTimeout(() => controller.abort(), 120);
    const body = JSON.stringify({
      model: "pocket",
      messages: [{ role: "user", content: PROMPTS[n % PROMPTS.length] }],
      stream: n % 3 !== 0,
      max_tokens: n % 7 === 0 ? 12 : 160,
    });
    const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
    const request = { method: "POST", headers, body, signal: controller.signal };
    await fetch(`${url}/v1/chat/completions`, request)
      .then((response) => response.text())
      .catch(() => undefined);
    await new Promise((resolve) =>
      setTimeout(resolve, 400 + 500 * (1 + Math.sin(Date.now() / 9000))),
    );
  }
}

async function openDashboard(browser, colorScheme) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, colorScheme });
  await page.goto(url);
  await page.getByLabel("API key").fill(key);
  await page.keyboard.press("Enter");
  await page.getByRole("img", { name: /^Memory, last/ }).waitFor();
  return page;
}

async function chat(page) {
  await page.getByRole("link", { name: "Playground" }).click();
  await page.getByRole("button", { name: "Tutor" }).click();
  for (const text of ["My name is Anna.", "What is 7 plus 5?", "What is my name?"]) {
    await page.getByRole("textbox", { name: "Message" }).fill(text);
    await page.keyboard.press("Enter");
    await page
      .getByRole("button", { name: "Stop" })
      .waitFor({ timeout: 2000 })
      .catch(() => undefined);
    await page.getByRole("button", { name: "Send" }).waitFor();
  }
}

const until = Date.now() + LOAD_SECONDS * 1000;
const load = Promise.all([0, 1, 2, 3, 4, 5].map((caller) => keepAsking(caller, until)));
await new Promise((resolve) => setTimeout(resolve, Math.max(0, LOAD_SECONDS - 40) * 1000));

const browser = await chromium.launch({
  executablePath: chromiumPath ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
for (const scheme of ["light", "dark"]) {
  const page = await openDashboard(browser, scheme);
  await page.waitForTimeout(2500);
  await page.screenshot({ path: `${FOLDER}overview-${scheme}.png` });
  for (const name of ["Requests", "Engine", "Keys"]) {
    await page.getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { name, level: 1 }).waitFor();
    await page.waitForTimeout(1500);
    await page.screenshot({ path: `${FOLDER}${name.toLowerCase()}-${scheme}.png` });
  }
  await chat(page);
  await page.waitForTimeout(500);
  await page.screenshot({ path: `${FOLDER}playground-${scheme}.png` });
  await page.close();
}
await browser.close();
await load;
