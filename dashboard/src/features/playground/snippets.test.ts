import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import type { ChatRequest } from "../../api/types";
import { buildSnippet, LANGUAGES } from "./snippets";

const NASTY = `It's "quoted" $HOME \`id\` \\ and\n\${x} 🦊 ''' """`;
const request: ChatRequest = {
  model: "pocket",
  messages: [{ role: "user", content: NASTY }],
  temperature: 0.5,
  top_k: 5,
  stop: ["'"],
};

/** With JSON's words, which Python writes in another way, in values and in a string. */
const withTools: ChatRequest = {
  model: "pocket",
  messages: [
    { role: "user", content: 'null, true and "false"' },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: '{"a":null}' } }],
    },
    { role: "tool", tool_call_id: "c", content: "[true]" },
  ],
  tools: [
    {
      type: "function",
      function: { name: "f", parameters: { type: "object", additionalProperties: false } },
    },
  ],
  tool_choice: "required",
  response_format: {
    type: "json_schema",
    json_schema: { name: "answer", strict: true, schema: { default: null } },
  },
  reasoning_effort: "low",
};
const ORIGIN = "http://127.0.0.1:8000";
const TARGET = { origin: ORIGIN, hasKey: true };

describe("buildSnippet", () => {
  it("writes a curl command that a shell passes on unchanged", () => {
    const command = buildSnippet("curl", { ...request, ...withTools }, TARGET);
    const show = `curl() { printf '%s\\0' "$@"; }\n${command}`;
    const env = { LLM_KEY: "a key", PATH: process.env.PATH };
    const args = execFileSync("sh", ["-c", show], { env, encoding: "utf8" }).split("\0");
    expect(args).toContain(`${ORIGIN}/v1/chat/completions`);
    expect(args).toContain("Authorization: Bearer a key");
    const body = JSON.parse(args[args.indexOf("-d") + 1] ?? "") as unknown;
    expect(body).toEqual({ ...request, ...withTools, stream: true });
  });

  it("writes Python that sends the same, with what OpenAI lacks in extra_body", () => {
    const code = buildSnippet("Python", request, TARGET);
    const call = /create\(\n([\s\S]*?)\n\)/.exec(code)?.[1] ?? "";
    const show = `import json\nprint(json.dumps(dict(\n${call}\n)))`;
    const seen = JSON.parse(execFileSync("python3", ["-c", show], { encoding: "utf8" })) as object;
    const { top_k, ...known } = request;
    expect(seen).toEqual({ ...known, stream: true, extra_body: { top_k } });
    expect(code).toContain('api_key=os.environ["LLM_KEY"]');
  });

  it("writes Python that sends tools, calls and results, and prints calls", () => {
    const code = buildSnippet("Python", withTools, TARGET);
    // Stands in for the package openai: it shows what is sent, and streams a call.
    const openai = `
import json, sys, types
def create(**sent):
    print(json.dumps(sent))
    of = lambda **fields: types.SimpleNamespace(**fields)
    for name, text in (("f", ""), (None, '{"a": 1}')):
        call = of(function=of(name=name, arguments=text))
        yield of(choices=[of(delta=of(content=None, tool_calls=[call]))])
chat = types.SimpleNamespace(completions=types.SimpleNamespace(create=create))
sys.modules["openai"] = types.SimpleNamespace(OpenAI=lambda **_: types.SimpleNamespace(chat=chat))
`;
    const env = { LLM_KEY: "a key", PATH: process.env.PATH };
    const shown = execFileSync("python3", ["-c", openai + code], { env, encoding: "utf8" });
    const [sent, ...printed] = shown.split("\n");
    expect(JSON.parse(sent ?? "")).toEqual({ ...withTools, stream: true });
    expect(printed.join("\n")).toBe('\nf: {"a": 1}\n');
  });

  it("writes JavaScript that sends the same", () => {
    const code = buildSnippet("JavaScript", { ...request, ...withTools }, TARGET);
    const call = /create\(([\s\S]*?)\);\n/.exec(code)?.[1] ?? "";
    expect(JSON.parse(call)).toEqual({ ...request, ...withTools, stream: true });
    expect(code).toContain("delta.tool_calls");
    expect(code).toContain(`baseURL: "${ORIGIN}/v1"`);
  });

  it("mentions no key if none is required", () => {
    for (const language of LANGUAGES) {
      const code = buildSnippet(language, request, { origin: ORIGIN, hasKey: false });
      expect(code, language).not.toMatch(/LLM_KEY|Authorization|import os/);
      expect(code, language).toContain(ORIGIN);
    }
  });
});
