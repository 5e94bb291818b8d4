import { expect, test } from "@playwright/test";
import { MockService } from "./mock-service";
import { ask, enterKey, watchPolicy } from "./steps";

const service = new MockService(8913);

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());
test.beforeEach(({ page }) => enterKey(page, service.url, "demo", "/?page=playground"));

test("streams an answer, shows code apart, and accounts for it", async ({ page }) => {
  const violations = watchPolicy(page);
  await ask(page, "hello <b>there</b>");
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer.getByText(/24 in \(16 cached\), \d+ out/)).toBeVisible();
  await expect(answer.locator("pre")).toHaveText('print("1 messages")');
  await expect(answer).toContainText("You said: hello <b>there</b>");
  await expect(answer.getByText(/^TTFT \d+/)).toBeVisible();
  await expect(answer.getByText(/tok\/s/)).toBeVisible();
  expect(violations).toEqual([]);
});

test("Esc stops an answer and keeps what came", async ({ page }) => {
  await ask(page, "slow please");
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer).toContainText("You said");
  await page.keyboard.press("Escape");
  await expect(answer.getByText("stopped", { exact: true })).toBeVisible();
  await expect(answer).toContainText("You said");
  await expect(page.getByRole("button", { name: "Send" })).toBeVisible();
});

test("a stream goes on while one looks at the charts", async ({ page }) => {
  await ask(page, "slow please");
  await page.getByRole("link", { name: "Overview" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Healthy");
  await page.getByRole("link", { name: "Playground" }).click();
  await expect(page.getByText(/24 in \(16 cached\)/)).toBeVisible();
});

test("says in words what went wrong", async ({ page }) => {
  const failures = page.getByRole("alert");
  await ask(page, "limit");
  await expect(failures.nth(0)).toHaveText(
    /Limit reached\. The key has spent its 600 requests of this minute\. Try again in 1[012] s\./,
  );
  await ask(page, "busy");
  await expect(failures.nth(1)).toContainText("The queue is full: 256 requests are waiting.");
  await ask(page, "cut");
  await expect(failures.nth(2)).toContainText("The answer was cut");
});

test("sends the chosen persona and sampling, several turns, and asks again", async ({ page }) => {
  await page.getByRole("button", { name: "Tutor" }).click();
  await page.getByLabel("Seed").fill("7");
  await ask(page, "one");
  const answers = page.getByRole("article", { name: "Answer" });
  await expect(answers.nth(0)).toContainText("System: You are a patient tutor.");
  await expect(answers.nth(0)).toContainText("24 in");
  const sent = page.waitForRequest("**/v1/chat/completions");
  await ask(page, "two");
  expect((await sent).postDataJSON()).toMatchObject({ model: "pocket", seed: 7, stream: true });
  await expect(answers.nth(1)).toContainText('print("4 messages")');
  await page.getByRole("button", { name: "Answer again" }).click();
  await expect(answers.nth(1)).toContainText('print("4 messages")');
  await expect(answers).toHaveCount(2);
  await page.getByRole("button", { name: "Clear" }).click();
  await expect(answers).toHaveCount(0);
});

test("Shift+Enter makes a new line", async ({ page }) => {
  const message = page.getByRole("textbox", { name: "Message" });
  await message.fill("a");
  await message.press("Shift+Enter");
  await expect(message).toHaveValue("a\n");
});
