import { expect, test } from "@playwright/test";
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

for (const [name, incident] of Object.entries(incidents)) {
  test(`the incident ${name} has its sentence, its tiles and its colours`, async ({
    page,
  }, info) => {
    await service.start(name);
    // On the longest range, which must change neither the sentence nor a tile.
    await enterKey(page, service.url, "demo", name === "young" ? "/?range=7d" : "/?range=1h");
    const heading = page.getByRole("heading", { level: 1 });
    await expect(heading).toHaveText(incident.sentence);
    const health = heading.locator("..");
    await expect(health).toHaveAttribute("data-state", incident.state);
    await expect(heading.locator("span")).toHaveCSS(
      "background-color",
      COLORS[incident.tone] ?? "",
    );
    if (incident.also) await expect(health).toContainText(incident.also);
    const tiles = page.getByRole("list", { name: "Current values" }).getByRole("listitem");
    for (const [label, [value, detail, tone]] of Object.entries(incident.tiles)) {
      const tile = tiles.filter({ hasText: label });
      await expect(tile).toContainText(value);
      await expect(tile).toContainText(detail);
      await expect(tile).toHaveAttribute("data-tone", tone);
    }
    await expectChart(page, "Memory");
    await page.screenshot({ path: info.outputPath(`${name}-light.png`) });
    await page.emulateMedia({ colorScheme: "dark" });
    await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "dark");
    await page.screenshot({ path: info.outputPath(`${name}-dark.png`) });
    await page.setViewportSize({ width: 390, height: 844 });
    await expect(heading).toHaveText(incident.sentence);
    await page.screenshot({ path: info.outputPath(`${name}-phone.png`) });
  });
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
