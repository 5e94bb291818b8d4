import { describe, expect, it } from "vitest";
import {
  buildRequest,
  completeSettings,
  DEFAULT_SAMPLING,
  DEFAULT_SETTINGS,
  findProblem,
  isDefaultSampling,
} from "./settings";
import { EXAMPLE_SCHEMA } from "./schema";
import { EXAMPLE_TOOLS, type ToolChoice } from "./tools";

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

describe("tools, schema and reasoning", () => {
  const settings = { ...DEFAULT_SETTINGS, tools: EXAMPLE_TOOLS, schema: EXAMPLE_SCHEMA };

  it("are sent once they are there", () => {
    const request = buildRequest({ ...settings, reasoningEffort: "low" }, "pocket", turns);
    expect(request).toEqual({
      model: "pocket",
      messages: turns,
      reasoning_effort: "low",
      tools: JSON.parse(EXAMPLE_TOOLS) as unknown,
      response_format: {
        type: "json_schema",
        json_schema: {
          name: "answer",
          strict: true,
          schema: JSON.parse(EXAMPLE_SCHEMA) as unknown,
        },
      },
    });
  });

  it("are sent with the choice of a tool, unless that tool is gone", () => {
    const choose = (toolChoice: ToolChoice) =>
      buildRequest({ ...settings, toolChoice }, "pocket", turns).tool_choice;
    const named = { type: "function", function: { name: "get_weather" } };
    expect(choose({ name: "get_weather" })).toEqual(named);
    expect(choose({ name: "gone" })).toBeUndefined();
    expect(choose("required")).toBe("required");
    const without = { ...settings, tools: " ", toolChoice: "required" } as const;
    expect(buildRequest(without, "pocket", turns)).not.toHaveProperty("tool_choice");
  });

  it("prevent a request while they are not valid", () => {
    expect(findProblem(settings)).toBeNull();
    expect(findProblem({ ...settings, tools: "[" })).toMatch(/tools/);
    expect(findProblem({ ...settings, schema: "5" })).toMatch(/schema/);
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
