import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { releaseNotes } from "./release-notes";

describe("the release notes", () => {
  it("start with a version, not with the title of the file", () => {
    expect(releaseNotes("# Changelog\n\n## 1.0\n\n- One.\n")).toBe("## 1.0\n\n- One.");
  });

  it("name files of the repository without linking to them, and keep other links", () => {
    const text = "- [API](docs/api.md), [site](https://example.org/a)";
    expect(releaseNotes(text)).toBe("- API, [site](https://example.org/a)");
  });

  it("of the real changelog start with the newest version and link to no file", () => {
    const changelog = readFileSync(new URL("../../../CHANGELOG.md", import.meta.url), "utf8");
    const notes = releaseNotes(changelog);
    expect(notes).toMatch(/^## \d+\.\d+\.\d+/);
    expect(notes).not.toMatch(/\]\((?!https:)/);
  });
});
