import { readFile } from "node:fs/promises";
import { expect, test, type Page } from "@playwright/test";
import { MockService } from "./mock-service";
import { ask, enterKey, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());
test.beforeEach(({ page }) => enterKey(page, service.url, "demo", "/?page=playground"));

test("streams an answer, highlights its code, and shows its measurements", async ({ page }) => {
  const violations = watchPolicy(page);
  const message = page.getByRole("textbox", { name: "Message" });
  await message.fill("a");
  await message.press("Shift+Enter");
  await expect(message, "Shift+Enter makes a new line").toHaveValue("a\n");
  await ask(page, "hello <b>there</b>");
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer.getByText(/24 in \(16 cached\), \d+ out/)).toBeVisible();
  await expect(answer.locator("pre")).toHaveText('print("1 messages")');
  await expect(answer.locator(".hljs-built_in")).toHaveText("print");
  await expect(answer).toContainText("You said: hello <b>there</b>");
  await expect(answer.getByText(/^queue 1\.2 ms/)).toBeVisible();
  await expect(answer.getByText(/^TTFT \d+/)).toBeVisible();
  await answer.getByRole("button", { name: "Timings" }).click();
  await expect(answer.getByRole("row", { name: "prefill 30.1 ms –" })).toBeVisible();
  // Only the service's record has this row.
  await expect(answer.getByRole("row", { name: /^decode \d.*s –$/ })).toBeVisible();
  await expect(page.getByRole("meter", { name: "Context used" })).toContainText("of 2,048 tokens");
  expect(violations).toEqual([]);
});

test("a stream continues while another page is open; Esc stops it and keeps its text", async ({
  page,
}) => {
  const answers = page.getByRole("article", { name: "Answer" });
  await ask(page, "slow please");
  await page.getByRole("link", { name: "Overview" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Healthy");
  await page.getByRole("link", { name: "Playground" }).click();
  await expect(page.getByText(/24 in \(16 cached\)/)).toBeVisible();
  // It takes seconds: a busy browser may receive a quick answer at once, which has no speed.
  await expect(answers.nth(0).getByText(/tok\/s/)).toBeVisible();

  await ask(page, "slow again");
  await expect(answers.nth(1)).toContainText("You said");
  await page.keyboard.press("Escape");
  await expect(answers.nth(1).getByText("stopped", { exact: true })).toBeVisible();
  await expect(answers.nth(1)).toContainText("You said");
  await expect(page.getByRole("button", { name: "Send" })).toBeVisible();
});

test("says what went wrong, and when to try again", async ({ page }) => {
  const failures = page.getByRole("alert");
  await ask(page, "limit");
  await expect(failures.nth(0)).toHaveText(
    "Limit reached. The key has spent its 600 requests of this minute.",
  );
  await expect(page.getByRole("button", { name: /Try again in 1?\d s/ })).toBeDisabled();
  await ask(page, "busy");
  await expect(failures.nth(1)).toContainText("The queue is full: 256 requests are waiting.");
  await expect(page.getByRole("button", { name: "Try again", exact: true })).toBeEnabled();
  await ask(page, "cut");
  await expect(failures.nth(2)).toContainText("The answer was cut");
  await page.route("**/v1/chat/completions", (route) =>
    route.continue({ postData: route.request().postData()?.replace(/"cut"/, '"fine"') ?? "" }),
  );
  await page.getByRole("button", { name: "Try again", exact: true }).click();
  await expect(page.getByText("You said: fine")).toBeVisible();
  await expect(failures).toHaveCount(2);
});

test("sends the chosen persona and sampling over several turns, and regenerates", async ({
  page,
}) => {
  await page.getByRole("button", { name: "Tutor" }).click();
  await page.getByLabel("Seed").fill("7");
  await ask(page, "one");
  const answers = page.getByRole("article", { name: "Answer" });
  await expect(answers.nth(0)).toContainText("System: You are a patient tutor.");
  await expect(answers.nth(0)).toContainText("24 in");
  const sent = page.waitForRequest("**/v1/chat/completions");
  await ask(page, "two");
  const body = (await sent).postDataJSON() as object;
  expect(body).toMatchObject({ model: "pocket", seed: 7, stream: true });
  expect(body, "what was not chosen is the service's choice").not.toHaveProperty("temperature");
  await expect(answers.nth(1)).toContainText('print("4 messages")');
  await page.getByRole("button", { name: "Regenerate the answer" }).click();
  await expect(answers.nth(1)).toContainText('print("4 messages")');
  await expect(answers).toHaveCount(2);
  await page.getByRole("button", { name: "Reset all" }).click();
  await expect(page.getByLabel("Seed")).toHaveValue("");
});

test("a question can be edited; what followed it is kept as another version", async ({ page }) => {
  const answers = page.getByRole("article", { name: "Answer" });
  for (const [n, text] of ["one", "two", "three"].entries()) {
    await ask(page, text);
    await expect(answers.nth(n)).toContainText("24 in");
  }
  await page.getByText("two", { exact: true }).hover();
  await page.getByRole("button", { name: "Edit and ask again" }).nth(1).click();
  const editor = page.getByRole("textbox", { name: "Edit the message" });
  await editor.fill("TWO");
  await editor.press("Enter");
  await expect(answers).toHaveCount(2);
  await expect(answers.nth(1)).toContainText("You said: TWO");
  await expect(answers.nth(1)).toContainText('print("3 messages")');
  await page.getByRole("button", { name: "Previous version" }).click();
  await expect(answers).toHaveCount(3);
  await expect(answers.nth(2)).toContainText("You said: three");
  await page.getByRole("button", { name: "Next version" }).click();
  await expect(answers).toHaveCount(2);
});

test("keeps conversations over a reload; renames, deletes and restores them", async ({ page }) => {
  const list = page.getByRole("navigation", { name: "Conversations" });
  const answers = page.getByRole("article", { name: "Answer" });
  await ask(page, "first question");
  await expect(answers).toContainText("24 in");
  await page.getByRole("button", { name: "New conversation" }).click();
  await expect(answers).toHaveCount(0);
  await ask(page, "second question");
  await expect(answers).toContainText("24 in");

  await page.reload();
  await page.getByLabel("API key").fill("demo");
  await page.keyboard.press("Enter");
  await expect(answers).toContainText("You said: second question");
  await list.getByRole("button", { name: "first question", exact: true }).click();
  await expect(answers).toContainText("You said: first question");

  await page.getByRole("button", { name: "Rename" }).click();
  await page.getByRole("textbox", { name: "Name of the conversation" }).fill("Renamed");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Renamed");

  await list.getByRole("button", { name: "Renamed", exact: true }).hover();
  await list.getByRole("button", { name: "Delete “Renamed”" }).click();
  await expect(list.getByRole("button", { name: "Renamed", exact: true })).toHaveCount(0);
  await expect(answers).toHaveCount(0);
  await list.getByRole("button", { name: "Undo" }).click();
  await expect(answers).toContainText("You said: first question");
  await expect(list.getByRole("button", { name: "Renamed", exact: true })).toBeVisible();
});

test("another key does not see the conversations of this one", async ({ page }) => {
  await ask(page, "a secret");
  await expect(page.getByRole("article", { name: "Answer" })).toContainText("24 in");
  await page.getByRole("button", { name: "Key demo" }).click();
  await page.getByRole("button", { name: "Use another key" }).click();
  await page.getByLabel("API key").fill("chat-only");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "What is 7 plus 5?" })).toBeEnabled();
  await expect(page.getByText("a secret")).toHaveCount(0);
});

test("a conversation is exported as Markdown, as JSON, and as code without the key", async ({
  page,
}) => {
  const violations = watchPolicy(page);
  await ask(page, "hello");
  await expect(page.getByRole("article", { name: "Answer" })).toContainText("24 in");
  const markdown = await exported(page, "Markdown, to read");
  expect(markdown.name).toMatch(/^\d{4}-\d\d-\d\d-hello\.md$/);
  expect(markdown.text).toContain(
    "**You**\n\nhello\n\n**Model**\n\nYou said: hello\n\n```python\n",
  );
  const json = await exported(page, "JSON, whole, to import again");
  expect(JSON.parse(json.text)).toMatchObject({
    conversations: [
      {
        title: "hello",
        messages: [{ text: "hello" }, { stats: { usage: { prompt_tokens: 24 } }, state: "done" }],
      },
    ],
  });

  await page.getByRole("button", { name: "Show as code" }).click();
  const dialog = page.getByRole("dialog", { name: "This request as code" });
  await expect(dialog.locator("pre")).toContainText(`curl -N ${service.url}/v1/chat/completions`);
  await expect(dialog.locator("pre")).toContainText("Bearer $LLM_KEY");
  await dialog.getByRole("button", { name: "Python" }).click();
  await expect(dialog.locator("pre")).toContainText("from openai import OpenAI");
  await expect(dialog.locator("pre")).not.toContainText("demo");
  expect(violations).toEqual([]);
});

async function exported(page: Page, format: string): Promise<{ name: string; text: string }> {
  await page.getByRole("button", { name: "Export", exact: true }).click();
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: format }).click();
  const download = await saved;
  return {
    name: download.suggestedFilename(),
    text: await readFile(await download.path(), "utf8"),
  };
}

test("on a phone the conversations and the settings open over the chat", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 800 });
  await ask(page, "hello");
  await expect(page.getByRole("article", { name: "Answer" })).toContainText("24 in");
  const list = page.getByRole("navigation", { name: "Conversations" });
  await expect(list).toBeHidden();
  await page.getByRole("button", { name: "Conversations" }).press("Enter");
  await list.getByRole("button", { name: "hello", exact: true }).press("Enter");
  await expect(list).toBeHidden();
  await page.getByRole("button", { name: "Settings" }).click();
  await expect(page.getByLabel("Seed")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByLabel("Seed")).toBeHidden();
});
