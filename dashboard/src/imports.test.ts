import { posix } from "node:path";
import { expect, it } from "vitest";

const SOURCES = import.meta.glob<string>(["./**/*.{ts,tsx}", "!./**/*.test.*"], {
  query: "?raw",
  import: "default",
  eager: true,
});

/** The source files that `file` imports, types included. */
function importsOf(file: string): string[] {
  const named = (SOURCES[file] ?? "").matchAll(/(?:from|import) "(\.[^"]+)"/g);
  return Array.from(named, ([, name = ""]) => {
    const path = `./${posix.join(posix.dirname(file), name)}`;
    return [path, `${path}.ts`, `${path}.tsx`, `${path}.d.ts`].find((each) => each in SOURCES);
  }).filter((each) => each !== undefined);
}

/** A chain of imports that ends at its first file, or null. */
function findCycle(): string[] | null {
  const done = new Set<string>();
  const visit = (file: string, trail: string[]): string[] | null => {
    if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file];
    if (done.has(file)) return null;
    for (const next of importsOf(file)) {
      const cycle = visit(next, [...trail, file]);
      if (cycle) return cycle;
    }
    done.add(file);
    return null;
  };
  for (const file of Object.keys(SOURCES)) {
    const cycle = visit(file, []);
    if (cycle) return cycle;
  }
  return null;
}

it("there are no import cycles", () => {
  expect(Object.keys(SOURCES).length).toBeGreaterThan(100);
  expect(importsOf("./main.tsx")).toEqual(["./app.tsx"]);
  expect(findCycle()).toBeNull();
});
