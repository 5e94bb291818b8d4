// Takes the README's screenshots from a running service, under a load that it generates. With
// Prometheus (LLM_PROMETHEUS_URL) the alerts page has something to show.
//   DASHBOARD_URL=http://127.0.0.1:8000 DASHBOARD_KEY=... npm run screenshots
import { fileURLToPath } from "node:url";
import { key, launch, openDashboard, url } from "./browser.mjs";

const LOAD_SECONDS = Number(process.env.LOAD_SECONDS ?? 320);
const FOLDER = fileURLToPath(new URL("../../docs/images/", import.meta.url));

const PROMPTS = [
  "What is 7 plus 5?",
  "Tell me a short story about a fox",
  "What is a KV cache?",
  "Sort these words: pear, apple, fig, cherry",
  "What is the capital of France?",
  "Count from 1 to 12",
];

/** One client: sends a request, reads the answer, sometimes disconnects early, pauses, repeats. */
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

const browser = await launch();
const page = await openDashboard(browser);

/** Takes both themes right after each other, so that they show the same moment. */
async function picture(name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(700);
    await page.screenshot({ path: `${FOLDER}${name}-${colorScheme}.png` });
  }
}

await page.waitForTimeout(2500);
await picture("overview");
for (const title of ["Requests", "Engine", "Keys", "Alerts & SLO"]) {
  await page.getByRole("link", { name: title, exact: true }).click();
  await page.getByRole("heading", { name: title, level: 1 }).waitFor();
  await page.waitForTimeout(1500);
  await picture(title.toLowerCase().split(" ")[0]);
}
await chat(page);
await picture("playground");
await browser.close();
await load;
