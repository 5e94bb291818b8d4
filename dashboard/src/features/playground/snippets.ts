/** A request as code for curl, Python and JavaScript. The code never contains a key. */

import { CHAT_PATH, OPENAI_BASE_PATH } from "../../api/endpoints";
import type { ChatRequest } from "../../api/types";

export const LANGUAGES = ["curl", "Python", "JavaScript"] as const;
export type Language = (typeof LANGUAGES)[number];

/** The name of each language in a Markdown code fence. */
export const CODE_NAMES: Record<Language, string> = {
  curl: "bash",
  Python: "python",
  JavaScript: "javascript",
};

export interface Target {
  origin: string;
  /** False if the service was called without a key. */
  hasKey: boolean;
}

export function buildSnippet(language: Language, request: ChatRequest, target: Target): string {
  switch (language) {
    case "curl":
      return curl(request, target);
    case "Python":
      return python(request, target);
    case "JavaScript":
      return javascript(request, target);
  }
}

function curl(request: ChatRequest, { origin, hasKey }: Target): string {
  const body = JSON.stringify({ ...request, stream: true }, null, 2);
  // A shell changes nothing inside single quotes; a single quote itself must leave them.
  const quoted = `'${body.replaceAll("'", `'\\''`)}'`;
  return [
    `curl -N ${origin}${CHAT_PATH} \\`,
    ...(hasKey ? [`  -H "Authorization: Bearer $LLM_KEY" \\`] : []),
    `  -H "Content-Type: application/json" \\`,
    `  -d ${quoted}`,
  ].join("\n");
}

/** OpenAI's clients require a key even if the service does not. */
const NO_KEY = '"none"';

/** The parameters that OpenAI's clients know. Others go into extra_body. */
const OPENAI_NAMES = new Set([
  "model",
  "messages",
  "temperature",
  "top_p",
  "max_tokens",
  "seed",
  "stop",
  "presence_penalty",
  "frequency_penalty",
  "tools",
  "tool_choice",
  "response_format",
  "reasoning_effort",
]);

function python(request: ChatRequest, { origin, hasKey }: Target): string {
  const entries = Object.entries(request);
  const known = entries.filter(([name]) => OPENAI_NAMES.has(name));
  const others = entries.filter(([name]) => !OPENAI_NAMES.has(name));
  const args = known.map(([name, value]) => `    ${name}=${pythonLiteral(value, "    ")},`);
  if (others.length > 0) {
    args.push(`    extra_body=${pythonLiteral(Object.fromEntries(others), "    ")},`);
  }
  const key = hasKey ? 'os.environ["LLM_KEY"]' : NO_KEY;
  return `${hasKey ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${origin}${OPENAI_BASE_PATH}", api_key=${key})
stream = client.chat.completions.create(
${args.join("\n")}
    stream=True,
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
${request.tools ? PYTHON_CALLS : ""}print()
`;
}

/** Prints the pieces of calls as they come. */
const PYTHON_CALLS = `        for call in choice.delta.tool_calls or []:
            if call.function.name:
                print(f"\\n{call.function.name}: ", end="")
            print(call.function.arguments or "", end="", flush=True)
`;

const JAVASCRIPT_CALLS = `  for (const { function: call } of chunk.choices[0]?.delta.tool_calls ?? []) {
    if (call?.name) process.stdout.write(\`\\n\${call.name}: \`);
    process.stdout.write(call?.arguments ?? "");
  }
`;

function javascript(request: ChatRequest, { origin, hasKey }: Target): string {
  const key = hasKey ? "process.env.LLM_KEY" : NO_KEY;
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${origin}${OPENAI_BASE_PATH}", apiKey: ${key} });
const stream = await client.chat.completions.create(${literal({ ...request, stream: true }, "")});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
${request.tools ? JAVASCRIPT_CALLS : ""}}
`;
}

function literal(value: unknown, indent: string): string {
  return JSON.stringify(value, null, indent.length || 2).replaceAll("\n", `\n${indent}`);
}

const PYTHON_WORDS: Record<string, string> = { true: "True", false: "False", null: "None" };

/** JSON is Python except for three words, which are replaced outside strings. */
function pythonLiteral(value: unknown, indent: string): string {
  return literal(value, indent).replace(
    /"(?:[^"\\]|\\.)*"|true|false|null/g,
    (token) => PYTHON_WORDS[token] ?? token,
  );
}
