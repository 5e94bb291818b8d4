import { expect, it } from "vitest";
import { listSuggestions } from "./presets";
import { DEFAULT_SETTINGS } from "./settings";
import { EXAMPLE_TOOLS } from "./tools";

const titles = (some: Partial<typeof DEFAULT_SETTINGS>, isDemonstration: boolean) =>
  listSuggestions({ ...DEFAULT_SETTINGS, ...some }, isDemonstration).map(({ title }) => title);

it("suggests a tool call only to the demonstration model, which is known to make it", () => {
  expect(titles({}, true)).toContain("A tool");
  expect(titles({}, false)).not.toContain("A tool");
  expect(titles({}, false)).toContain("JSON that fits a schema");
});

it("suggests nothing that would replace tools or a schema of the user", () => {
  expect(titles({ tools: EXAMPLE_TOOLS }, true)).toContain("JSON that fits a schema");
  const own = titles({ tools: '{"name": "mine"}' }, true);
  expect(own).toContain("Arithmetic");
  expect(own).not.toContain("A tool");
  expect(own).not.toContain("JSON that fits a schema");
});
