import { type CDPSession, expect, type Page } from "@playwright/test";

export async function enterKey(page: Page, url: string, key: string, path = "/"): Promise<void> {
  await page.goto(`${url}${path}`);
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Open the dashboard" }).click();
}

export async function ask(page: Page, text: string): Promise<void> {
  const message = page.getByRole("textbox", { name: "Message" });
  await message.fill(text);
  await message.press("Enter");
}

/** Slows down the network of the page until the session is detached. */
export async function slowLine(page: Page): Promise<CDPSession> {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: 0,
    downloadThroughput: 16 * 1024,
    uploadThroughput: -1,
  });
  return session;
}

/** Collects what the content policy blocked; it must stay empty. */
export function watchPolicy(page: Page): string[] {
  const violations: string[] = [];
  page.on("console", (message) => {
    if (/content security policy/i.test(message.text())) violations.push(message.text());
  });
  return violations;
}

/** Collects the errors in the browser's console. */
export function watchErrors(page: Page): string[] {
  const errors: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  return errors;
}

export async function expectChart(page: Page, title: string): Promise<void> {
  await expect(
    page.getByRole("application", { name: new RegExp(`^${title}, last`) }),
  ).toBeVisible();
}
