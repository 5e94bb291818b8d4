import { describe, expect, it } from "vitest";
import {
  buildRequest,
  completeSettings,
  DEFAULT_SAMPLING,
  DEFAULT_SETTINGS,
  isDefaultSampling,
} from "./settings";

const turns = [{ role: "user", content: "Hi" } as const];

describe("buildRequest", () => {
  it("sends only the chosen parameters", () => {
    const sampling = { ...DEFAULT_SAMPLING, temperature: 0, top_k: 5, stop: ["\n"], seed: 7 };
    expect(buildRequest({ ...DEFAULT_SETTINGS, sampling }, "pocket", turns)).toEqual({
      model: "pocket",
      messages: turns,
      temperature: 0,
      top_k: 5,
      stop: ["\n"],
      seed: 7,
    });
    expect(buildRequest(DEFAULT_SETTINGS, "pocket", turns)).toEqual({
      model: "pocket",
      messages: turns,
    });
  });

  it("puts the system prompt first and leaves an empty one out", () => {
    const own = { ...DEFAULT_SETTINGS, system: " Be brief. " };
    expect(buildRequest(own, "pocket", turns).messages).toEqual([
      { role: "system", content: "Be brief." },
      ...turns,
    ]);
    expect(buildRequest({ ...own, system: " " }, "pocket", turns).messages).toEqual(turns);
  });
});

it("completes settings that an earlier dashboard stored", () => {
  const kept = { system: "Old", sampling: { temperature: 0.5 } } as unknown as object;
  const settings = completeSettings(kept);
  expect(settings).toMatchObject({ system: "Old", preset: "Plain", ownSystem: "" });
  expect(settings.sampling).toEqual({ ...DEFAULT_SAMPLING, temperature: 0.5 });
});

it("knows whether there is anything to reset", () => {
  expect(isDefaultSampling(DEFAULT_SAMPLING)).toBe(true);
  expect(isDefaultSampling({ ...DEFAULT_SAMPLING, top_p: 1 })).toBe(false);
});
