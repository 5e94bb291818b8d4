/** Images in the playground: attached, pasted, scaled down, kept, exported; and models that do not see. */

import { expect, test, type Page } from "@playwright/test";
import { MockService } from "./mock-service";
import { ask, enterKey, watchErrors } from "./steps";

const service = new MockService();

test.beforeAll(() => service.start());
test.afterAll(() => service.kill());
test.beforeEach(({ page }) => enterKey(page, service.url, "demo", "/?page=playground"));

interface Sent {
  messages: { content: { type: string; text?: string; image_url?: { url: string } }[] }[];
}

/** An image that the browser draws, as the bytes of a PNG file. */
async function drawn(page: Page, width: number, height: number): Promise<Buffer> {
  const url = await page.evaluate(
    ([width, height]) => {
      const canvas = document.createElement("canvas");
      canvas.width = width ?? 1;
      canvas.height = height ?? 1;
      canvas.getContext("2d")?.fillRect(0, 0, 9, 9);
      return canvas.toDataURL("image/png");
    },
    [width, height],
  );
  return Buffer.from(url.split(",")[1] ?? "", "base64");
}

test("an image is sent with the question, kept and exported", async ({ page }) => {
  const errors = watchErrors(page);
  await page.getByRole("combobox", { name: "Model" }).selectOption("pocket-large");
  const files = [
    { name: "large.png", mimeType: "image/png", buffer: await drawn(page, 3000, 1500) },
    { name: "small.png", mimeType: "image/png", buffer: await drawn(page, 40, 30) },
  ];
  await page.getByTestId("images").setInputFiles(files);
  const attached = page.getByRole("list", { name: "Attached files" });
  await expect(attached).toContainText("1536 × 768");
  await expect(attached).toContainText("40 × 30");
  const sent = page.waitForRequest("**/v1/chat/completions");
  await ask(page, "what is this");
  const [question] = ((await sent).postDataJSON() as Sent).messages;
  expect(question?.content.map(({ type }) => type)).toEqual(["image_url", "image_url", "text"]);
  const urls = question?.content.map((part) => part.image_url?.url.slice(0, 22));
  expect(urls).toEqual(["data:image/jpeg;base64", "data:image/png;base64,", undefined]);
  const answer = page.getByRole("article", { name: "Answer" });
  await expect(answer).toContainText("536 in (16 cached, 512 of images)");
  await expect(attached).toHaveCount(0);
  await page.screenshot({ path: "test-results/images.png" });

  await enterKey(page, service.url, "demo", "/?page=playground");
  const image = page.getByRole("img", { name: "small.png" });
  await expect(image).toBeVisible();
  await expect.poll(() => image.evaluate((img: HTMLImageElement) => img.naturalWidth)).toBe(40);
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export all" }).click();
  const file = await (await saved).path();
  await page.getByRole("button", { name: "Delete “what is this”" }).press("Enter");
  await expect(image).toHaveCount(0);
  await page.getByTestId("import").setInputFiles(file);
  await expect(image).toBeVisible();
  expect(errors).toEqual([]);
});

test("an image can be pasted and removed", async ({ page }) => {
  await page.getByRole("combobox", { name: "Model" }).selectOption("pocket-large");
  const bytes = [...(await drawn(page, 20, 10))];
  await page.getByRole("textbox", { name: "Message" }).evaluate((box, bytes) => {
    const clipboardData = new DataTransfer();
    const type = "image/png";
    clipboardData.items.add(new File([new Uint8Array(bytes)], "pasted.png", { type }));
    box.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
  }, bytes);
  await expect(page.getByRole("list", { name: "Attached files" })).toContainText("20 × 10");
  await expect(page.getByRole("button", { name: "Send" })).toBeEnabled();
  await page.getByRole("button", { name: "Remove pasted.png" }).click();
  await expect(page.getByRole("list", { name: "Attached files" })).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Send" })).toBeDisabled();
});

test("a model that does not see says so before anything is sent", async ({ page }) => {
  const button = page.getByRole("button", { name: /^Attach images\. pocket does not see images/ });
  await expect(button).toHaveAttribute("aria-disabled", "true");
  const buffer = await drawn(page, 20, 10);
  // By dropping or pasting, an image can be there all the same.
  await page.getByTestId("files").setInputFiles({ name: "a.png", mimeType: "image/png", buffer });
  await page.getByRole("textbox", { name: "Message" }).fill("what is this");
  const words = "pocket does not see images. Choose a model that does, or remove them.";
  await expect(page.getByText(words)).toBeVisible();
  await expect(page.getByRole("button", { name: "Send" })).toBeDisabled();
  await page.getByRole("combobox", { name: "Model" }).selectOption("pocket-large");
  await expect(page.getByText(words)).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Send" })).toBeEnabled();
});
