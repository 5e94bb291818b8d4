import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";

const TAGS = [
  ...["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
  ...["best-practice", "experimental"],
];

/** Runs in the page itself: the other mode opens a second page, which takes seconds. */
export function axeOf(page: Page): AxeBuilder {
  return new AxeBuilder({ page }).setLegacyMode().withTags(TAGS);
}

/** Each violated rule with the elements that violate it. */
export async function violationsOf(page: Page, axe = axeOf(page)): Promise<string[]> {
  await page.mouse.move(0, 0); // Hides tooltips, which are outside the landmarks.
  await expect(page.getByRole("tooltip")).toBeHidden();
  const { violations } = await axe.analyze();
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html).join(" | ")}`);
}

/** Checks every rule in light, and only contrast in dark, where nothing else is different. */
export async function expectNoViolations(page: Page): Promise<void> {
  expect(await violationsOf(page)).toEqual([]);
  await page.emulateMedia({ colorScheme: "dark" });
  await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "dark");
  const contrast = new AxeBuilder({ page }).setLegacyMode().withRules("color-contrast");
  expect(await violationsOf(page, contrast)).toEqual([]);
  await page.emulateMedia({ colorScheme: "light" });
  await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "light");
}
