import { expect, test, type Page } from "@playwright/test";
import { MockService } from "./mock-service";
import { ask, enterKey, watchPolicy } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());
test.beforeEach(({ page }) => enterKey(page, service.url, "demo", "/?page=playground"));

const sentBody = async (page: Page) =>
  (await page.waitForRequest("**/v1/chat/completions")).postDataJSON() as unknown;

test("calls appear as cards, and their results go on with the conversation", async ({ page }) => {
  const violations = watchPolicy(page);
  await page.getByRole("button", { name: "Insert an example: Tools" }).click();
  await page.getByLabel("Tool choice").selectOption("Calls at least one (required)");
  const first = sentBody(page);
  await ask(page, "both");
  expect(await first).toMatchObject({
    tools: [{ type: "function", function: { name: "get_weather" } }],
    tool_choice: "required",
  });
  const calls = page.getByRole("group", { name: "Call of get_weather" });
  await expect(calls.nth(0).locator("pre")).toHaveText('{\n  "city": "Rome"\n}');
  await expect(calls.nth(1).locator("pre")).toHaveText('{\n  "city": "Oslo"\n}');

  const results = page.getByRole("textbox", { name: "Result of get_weather" });
  await expect(results.nth(0), "the first result is what to write next").toBeFocused();
  await page.getByRole("textbox", { name: "Message" }).fill("not yet");
  await expect(page.getByRole("button", { name: "Send", exact: true })).toBeDisabled();
  await page.getByRole("textbox", { name: "Message" }).fill("");
  await results.nth(0).fill("22 degrees");
  await expect(page.getByRole("button", { name: "Send 2 results" })).toBeDisabled();
  await results.nth(0).press("Enter");
  await expect(results.nth(1)).toBeFocused();
  await page.keyboard.type("snow");
  const second = sentBody(page);
  await page.keyboard.press("Enter");
  expect(await second).toMatchObject({
    messages: [
      { role: "user", content: "both" },
      { role: "assistant", content: null, tool_calls: [{ id: "call_0" }, { id: "call_1" }] },
      { role: "tool", tool_call_id: "call_0", content: "22 degrees" },
      { role: "tool", tool_call_id: "call_1", content: "snow" },
    ],
  });
  await expect(page.getByText("The tools said: 22 degrees,snow")).toBeVisible();

  await page.reload();
  await enterKey(page, service.url, "demo", "/?page=playground");
  await expect(calls.nth(1)).toContainText("snow");
  await calls.nth(1).getByRole("button", { name: "Edit the result" }).click();
  await results.nth(1).fill("rain");
  await page.getByRole("button", { name: "Send 2 results" }).click();
  await expect(page.getByText("The tools said: 22 degrees,rain")).toBeVisible();
  await expect(page.getByRole("article", { name: "Answer" })).toHaveCount(2);
  expect(violations).toEqual([]);
});

test("invalid tools are named with the place of the error, and nothing is sent", async ({
  page,
}) => {
  const tools = page.getByRole("textbox", { name: "Tools" });
  await tools.fill('[\n  {"name": "f"}\n  {"name": "g"}\n]');
  await expect(tools).toHaveAccessibleDescription(/^Line 3, column 3: a comma/);
  await page.getByRole("textbox", { name: "Message" }).fill("hello");
  await expect(page.getByRole("button", { name: "Send", exact: true })).toBeDisabled();
  await expect(page.getByText("The tools in the settings are not valid.")).toBeVisible();
  await tools.fill('{"name": "f"}');
  await expect(page.getByText("1 tool: f")).toBeVisible();
  await expect(page.getByRole("button", { name: "Send", exact: true })).toBeEnabled();
});

test("an answer with a schema says whether it is JSON that fits", async ({ page }) => {
  const violations = watchPolicy(page);
  await page.getByRole("button", { name: "Insert an example: JSON schema" }).click();
  const sent = sentBody(page);
  await ask(page, "right");
  expect(await sent).toMatchObject({
    response_format: { type: "json_schema", json_schema: { schema: { type: "object" } } },
  });
  const marks = page.getByTestId("schema-mark");
  await expect(marks.nth(0)).toHaveText("Fits the schema");
  await ask(page, "wrong");
  await expect(marks.nth(1)).toHaveText(/^Does not fit the schemaage: .*"integer"/);
  expect(violations, "the validator compiles nothing").toEqual([]);
});

test("reasoning is folded away, live while it comes and kept with the conversation", async ({
  page,
}) => {
  await page.getByLabel("Reasoning effort").selectOption("Low");
  const sent = sentBody(page);
  await ask(page, "think slow");
  expect(await sent).toMatchObject({ reasoning_effort: "low" });
  await page.getByRole("button", { name: "Thinking…" }).click();
  const reasoning = page.getByTestId("reasoning-text");
  await expect(reasoning).toContainText("The user");
  const folded = page.getByRole("button", { name: /^Thought for \d+ s, 8 tokens$/ });
  await expect(folded).toHaveAttribute("aria-expanded", "true");
  await expect(page.getByTestId("answer-text")).toContainText("You said: think slow");

  await page.reload();
  await enterKey(page, service.url, "demo", "/?page=playground");
  await expect(reasoning).toHaveCount(0);
  await folded.click();
  await expect(reasoning).toHaveText("The user asks. First I think about it.");
});
