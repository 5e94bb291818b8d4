/** Versions, two answers side by side, search, import and export, files, formulas. */

import { expect, test, type Locator, type Page } from "@playwright/test";
import { MockService } from "./mock-service";
import { ask, enterKey, watchErrors, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());
test.beforeEach(({ page }) => enterKey(page, service.url, "demo", "/?page=playground"));

function answersOf(page: Page): Locator {
  return page.getByRole("article", { name: "Answer" });
}

test("answers are regenerated, edited and continued, and every version is kept", async ({
  page,
}) => {
  const answer = answersOf(page);
  await ask(page, "first");
  await expect(answer).toContainText("24 in");
  await page.getByRole("button", { name: "Regenerate the answer" }).click();
  await expect(page.getByRole("group", { name: "Version 2 of 2" })).toBeVisible();
  await expect(answer).toContainText("24 in");
  await page.getByRole("button", { name: "Edit the answer" }).click();
  const editor = page.getByRole("textbox", { name: "Edit the answer" });
  await editor.fill("My own words");
  await editor.press("Enter");
  await expect(page.getByRole("group", { name: "Version 3 of 3" })).toBeVisible();
  await expect(answer.getByText("edited", { exact: true })).toBeVisible();
  const sent = page.waitForRequest("**/v1/chat/completions");
  await page.getByRole("button", { name: "Continue the answer" }).click();
  expect((await sent).postDataJSON()).toMatchObject({
    continue_final_message: true,
    messages: [{ content: "first" }, { role: "assistant", content: "My own words" }],
  });
  await expect(answer.getByText("continued", { exact: true })).toBeVisible();
  await expect(answer).toContainText("My own wordsYou said: first");
  const previous = page.getByRole("button", { name: "Previous version" });
  await previous.press("Enter");
  await previous.press("Enter");
  await expect(page.getByRole("group", { name: "Version 1 of 3" })).toBeVisible();
  await expect(answer).not.toContainText("My own words");
  await expect(previous, "the focus stays at the first version").toBeFocused();
});

test("one question goes to two models, with the timings under each", async ({ page }) => {
  await page.getByLabel("Two answers side by side").check();
  await page.getByRole("combobox", { name: "Model" }).selectOption("pocket-large");
  await page.getByLabel("Seed").fill("7");
  await page.getByRole("button", { name: "Left", exact: true }).click();
  await expect(page.getByRole("combobox", { name: "Model" })).toHaveValue("pocket");
  await ask(page, "hello");
  const left = page.getByRole("region", { name: "Left answer" });
  const right = page.getByRole("region", { name: "Right answer" });
  for (const side of [left, right]) {
    await expect(side).toContainText(/TTFT \d/);
    await expect(side).toContainText("24 in");
    await side.getByRole("button", { name: "Timings" }).click();
    await expect(side.getByRole("row", { name: /^prefill/ })).toBeVisible();
  }
  await expect(left).toContainText("You said: hello");
  await expect(right).toContainText("pocket-large · seed 7");
  await expect(right).toContainText("pocket-large. You said: hello");
  await page.screenshot({ path: "test-results/pair.png" });

  await right.getByRole("button", { name: "Go on with this answer" }).click();
  await page.getByLabel("Two answers side by side").uncheck();
  const sent = page.waitForRequest("**/v1/chat/completions");
  await ask(page, "and then");
  const { messages } = (await sent).postDataJSON() as { messages: { content: string }[] };
  expect(messages[1]?.content).toContain("pocket-large. You said: hello");
});

test("conversations are searched, exported and imported again", async ({ page }) => {
  const list = page.getByRole("navigation", { name: "Conversations" });
  const answer = answersOf(page);
  await ask(page, "where is the fox");
  await expect(answer).toContainText("24 in");
  await page.getByRole("button", { name: "New conversation" }).click();
  await ask(page, "something else");
  await expect(answer).toContainText("24 in");

  await page.getByRole("link", { name: "Playground" }).focus();
  await page.keyboard.press("/");
  const search = page.getByRole("searchbox", { name: "Search conversations" });
  await expect(search).toBeFocused();
  await search.fill("said: WHERE");
  await expect(list.getByText("1 conversation", { exact: true })).toBeVisible();
  await expect(list.locator("mark")).toHaveText("said: where");
  await list.getByRole("button", { name: /^where is the fox/ }).click();
  await expect(answer).toContainText("You said: where is the fox");
  await search.fill("nowhere");
  await expect(list.getByText("No conversation has these words.")).toBeVisible();
  await search.fill("");

  const saved = page.waitForEvent("download");
  await list.getByRole("button", { name: "Export all" }).click();
  const file = await (await saved).path();
  for (const name of ["where is the fox", "something else"]) {
    await list.getByRole("button", { name: `Delete “${name}”` }).press("Enter");
  }
  await expect(answer).toHaveCount(0);
  await page.getByTestId("import").setInputFiles(file);
  await expect(list.getByText("2 conversations were imported.")).toBeVisible();
  await list.getByRole("button", { name: "where is the fox", exact: true }).click();
  await expect(answer).toContainText("You said: where is the fox");
  await expect(answer).toContainText("24 in (16 cached)");
  await page
    .getByTestId("import")
    .setInputFiles({ name: "x.json", mimeType: "application/json", buffer: Buffer.from("{}") });
  await expect(list.getByText("x.json: The file holds no conversation.")).toBeVisible();
});

test("a text file is sent with its name; what is no text is refused", async ({ page }) => {
  const file = (name: string, mimeType: string, content: string | Buffer) => ({
    name,
    mimeType,
    buffer: Buffer.from(content),
  });
  const files = page.getByTestId("files");
  await files.setInputFiles([
    file("sum.py", "text/x-python", "print(1 + 1)\n"),
    file("fox.png", "image/png", "x"),
  ]);
  await expect(page.getByRole("list", { name: "Attached files" })).toContainText("sum.py");
  await expect(page.getByText("fox.png is not an image that this browser can read.")).toBeVisible();
  await files.setInputFiles(file("a.bin", "", Buffer.from([255, 0])));
  await expect(page.getByText("a.bin is not a text file in UTF-8.")).toBeVisible();
  const sent = page.waitForRequest("**/v1/chat/completions");
  await ask(page, "what is this");
  expect((await sent).postDataJSON()).toMatchObject({
    messages: [{ content: "what is this\n\nsum.py:\n```py\nprint(1 + 1)\n```" }],
  });
  await expect(page.getByRole("list", { name: "Attached files" })).toHaveCount(0);
  await page.locator("summary", { hasText: "sum.py" }).click();
  await expect(page.locator("details pre", { hasText: "print(1 + 1)" })).toBeVisible();
});

test("a draft that is too long is kept, with the number of tokens to cut", async ({ page }) => {
  const message = page.getByRole("textbox", { name: "Message" });
  const send = page.getByRole("button", { name: "Send" });
  // Enter comes before the words are counted.
  await message.fill("word ".repeat(2147));
  await message.press("Enter");
  await expect(page.getByText("Too long by 100 tokens:")).toBeVisible();
  await expect(send).toBeDisabled();
  await message.press("Enter");
  await expect(message).toHaveValue(/^word/);
  await message.fill("word ".repeat(9000));
  await expect(page.getByText("Too long by 6,953 tokens:")).toBeVisible();
  await message.fill("word ".repeat(2047));
  await expect(send).toBeEnabled();
  await message.press("Enter");
  await expect(answersOf(page)).toContainText("You said: word");
});

test("formulas are drawn, and dollars stay dollars", async ({ page }) => {
  const violations = watchPolicy(page);
  const errors = watchErrors(page);
  await ask(page, "math");
  const answer = answersOf(page);
  await expect(answer).toContainText("24 in");
  await expect(answer.locator("math")).toHaveCount(4);
  await expect(answer.locator("math[display=block]")).toBeVisible();
  await expect(answer).toContainText("costs $5 and $6.");
  await expect(answer.locator("code").last()).toHaveText("\\nonsense{");
  await page.screenshot({ path: "test-results/math.png" });
  expect([...violations, ...errors]).toEqual([]);
});
