// Starts a browser for the scripts, and opens a page of the service.
//   DASHBOARD_URL=http://127.0.0.1:8000 DASHBOARD_KEY=... name the service.
import { chromium } from "@playwright/test";

export const { DASHBOARD_URL: url, DASHBOARD_KEY: key } = process.env;

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
}

/** A page with the key entered and the overview shown; `options` are Playwright's. */
export async function openDashboard(browser, options = {}) {
  if (!url || !key) throw new Error("set DASHBOARD_URL and DASHBOARD_KEY");
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, ...options });
  await page.goto(url);
  await page.getByLabel("API key").fill(key);
  await page.keyboard.press("Enter");
  await page.getByRole("application", { name: /^Memory, last/ }).waitFor();
  return page;
}
