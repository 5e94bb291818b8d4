import { expect, it } from "vitest";
import { describeMaking, listMaking } from "./making";
import { DEFAULT_SAMPLING } from "./settings";

const plain = {
  model: "pocket",
  preset: "Plain",
  system: "",
  sampling: DEFAULT_SAMPLING,
  reasoningEffort: null,
};
const hot = { ...plain, sampling: { ...DEFAULT_SAMPLING, temperature: 1, stop: ["a b"] } };

it("lists the model and only what was set", () => {
  expect(listMaking(plain)).toEqual(["pocket"]);
  const tutor = { ...hot, preset: "Tutor", system: "You are", reasoningEffort: "low" };
  expect(listMaking(tutor)).toEqual([
    "pocket",
    "Tutor",
    "temperature 1",
    'stop "a b"',
    "reasoning effort low",
  ]);
});

it("names two answers by their model and what differs", () => {
  const names = (...makings: Parameters<typeof describeMaking>[0]) =>
    makings.map((_, i) => describeMaking(makings, i));
  expect(names(plain, plain)).toEqual(["pocket · default settings", "pocket · default settings"]);
  const hotWords = 'pocket · temperature 1 · stop "a b"';
  expect(names(hot, hot)).toEqual([hotWords, hotWords]);
  expect(names(plain, { ...plain, model: "big" })).toEqual(["pocket", "big"]);
  expect(names(plain, hot)).toEqual(["pocket · default settings", hotWords]);
});
