import { expect, test, type Page } from "@playwright/test";
import { readFileSync } from "node:fs";
import { MockService } from "./mock-service";
import { enterKey, expectChart } from "./steps";

interface Incident {
  state: string;
  tone: string;
  sentence: string;
  also?: string;
  tiles: Record<string, [value: string, detail: string, tone: string]>;
}

const { incidents } = JSON.parse(
  readFileSync(new URL("../src/testing/incidents.json", import.meta.url), "utf8"),
) as { incidents: Record<string, Incident> };

/** The colour of the dot before the sentence, by tone, in the light theme. */
const COLORS: Record<string, string> = {
  ok: "rgb(26, 143, 90)",
  idle: "rgb(133, 142, 155)",
  info: "rgb(33, 102, 181)",
  warn: "rgb(194, 120, 3)",
  bad: "rgb(201, 58, 43)",
};

const service = new MockService();

test.afterEach(() => service.kill());

test("each incident has its own sentence, tiles and colours, in a page that stays open", async ({
  page,
}, info) => {
  test.setTimeout(600_000);
  await service.start();
  // On a long range, which must change neither the sentence nor a tile.
  await enterKey(page, service.url, "demo", "/?range=1h");
  await expectChart(page, "Memory");
  for (const [name, incident] of Object.entries(incidents)) {
    await page.request.get(`${service.url}/mock/incident/${name}`);
    await expectIncident(page, incident);
    await takeScreenshots(page, (look) => info.outputPath(`${name}-${look}.png`));
  }
});

async function expectIncident(page: Page, incident: Incident): Promise<void> {
  const heading = page.getByRole("heading", { level: 1 });
  await expect(heading).toHaveText(incident.sentence, { timeout: 60_000 });
  const health = heading.locator("..");
  await expect.soft(health).toHaveAttribute("data-state", incident.state);
  const color = COLORS[incident.tone] ?? "";
  await expect.soft(heading.locator("span")).toHaveCSS("background-color", color);
  if (incident.also) await expect.soft(health).toContainText(incident.also);
  const tiles = page.getByRole("list", { name: "Current values" }).getByRole("listitem");
  for (const [label, [value, detail, tone]] of Object.entries(incident.tiles)) {
    const tile = tiles.filter({ has: page.getByText(label, { exact: true }) });
    await expect.soft(tile).toContainText(value);
    await expect.soft(tile).toContainText(detail);
    await expect.soft(tile).toHaveAttribute("data-tone", tone);
  }
}

async function takeScreenshots(page: Page, pathOf: (look: string) => string): Promise<void> {
  const html = page.locator("html");
  await page.screenshot({ path: pathOf("light") });
  await page.emulateMedia({ colorScheme: "dark" });
  await expect(html).toHaveAttribute("data-mantine-color-scheme", "dark");
  await page.screenshot({ path: pathOf("dark") });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.screenshot({ path: pathOf("phone") });
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
  await expect(html).toHaveAttribute("data-mantine-color-scheme", "light");
}

test("one load reads the same on every range", async ({ page }) => {
  await service.start("young");
  await enterKey(page, service.url, "demo");
  const shown = async () => {
    const tiles = page.getByRole("list", { name: "Current values" }).getByRole("listitem");
    return [await page.getByRole("heading", { level: 1 }).innerText(), await tiles.allInnerTexts()];
  };
  await expectChart(page, "Memory");
  const first = await shown();
  for (const range of ["15 minutes", "hour", "24 hours", "7 days"]) {
    await page.getByRole("button", { name: `Last ${range}` }).click();
    await expectChart(page, "Memory");
    expect(await shown()).toEqual(first);
  }
});
