/**
 * How the mock answers a chat.
 *
 * A message that contains "limit", "busy", "cut" or "slow" gets such an answer, "count" the numbers
 * from 1 to 150, and "math" formulas; others are echoed. "think" adds reasoning. With tools,
 * "weather" is answered by a call and "both" by two; with a schema, "wrong" gets JSON that does not
 * fit it, anything else JSON that fits the example. Counting can be continued. "pocket-large" sees
 * images.
 */
import { refuse, sendJson } from "./mock-http.mjs";

const now = () => Date.now() / 1000;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const MAX_CONTEXT = 2048;
const IMAGE_TOKENS = 256;

const modelOf = (id, vision) => ({
  id,
  capabilities: { vision },
  max_model_len: MAX_CONTEXT,
  default_sampling: { temperature: 0.3, top_p: 0.9, top_k: 20, min_p: 0 },
});

export const MODELS = [modelOf("pocket", false), modelOf("pocket-large", true)];

export class MockChat {
  #numAnswers = 0;

  constructor(requests) {
    this.requests = requests;
  }

  /** Counts one token per word. */
  tokenize(response, { messages }) {
    const words = messages.flatMap(({ content }) => textOf(content).match(/\S+/g) ?? []);
    const count = words.length;
    if (count > 4 * MAX_CONTEXT) {
      const text = `This model's maximum context length is ${MAX_CONTEXT} tokens. However, your messages resulted in at least ${count} tokens, and the answer needs at least one. Please reduce the length of the messages.`;
      return refuse(response, 400, "invalid_request_error", "context_length_exceeded", text);
    }
    sendJson(response, 200, { tokens: [], count, max_model_len: MAX_CONTEXT });
  }

  async answer(response, body) {
    const asked = body.messages.findLast(({ role }) => role !== "assistant").content;
    const question = textOf(asked);
    if (question.includes("limit")) {
      const words = "The key has spent its 600 requests of this minute.";
      return refuse(response, 429, "rate_limit_error", "rate_limit_exceeded", words, {
        "retry-after": "12",
      });
    }
    if (question.includes("busy")) {
      const words = "The queue is full: 256 requests are waiting.";
      return refuse(response, 503, "server_error", "overloaded", words, { "retry-after": "3" });
    }
    const numImages = body.messages.flatMap(({ content }) => imagesOf(content)).length;
    await this.#stream(response, deltasOf(body, question), question, numImages * IMAGE_TOKENS);
  }

  async #stream(response, deltas, question, imageTokens) {
    const startedAt = now();
    const id = `req-${Date.now().toString(36)}-${(this.#numAnswers += 1)}`;
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "x-request-id": id,
      "server-timing": "queue;dur=1.2, prefill;dur=30.1",
    });
    const send = (body) => response.write(`data: ${JSON.stringify(body)}\n\n`);
    await wait(80);
    for (const [i, delta] of deltas.entries()) {
      if (response.destroyed) return;
      if (question.includes("cut") && i === 2) return void response.destroy();
      send({ choices: [{ index: 0, delta, finish_reason: null }] });
      await wait(question.includes("slow") ? 400 : question.includes("count") ? 20 : 40);
    }
    const reason = deltas.some((delta) => delta.tool_calls) ? "tool_calls" : "stop";
    send({ choices: [{ index: 0, delta: {}, finish_reason: reason }] });
    const usage = {
      prompt_tokens: 24 + imageTokens,
      completion_tokens: deltas.length,
      total_tokens: 24 + imageTokens + deltas.length,
      prompt_tokens_details: { cached_tokens: 16, image_tokens: imageTokens },
      completion_tokens_details: {
        reasoning_tokens: deltas.filter((delta) => delta.reasoning_content).length,
      },
    };
    send({ choices: [], usage });
    this.requests.answered(id, startedAt, deltas.length);
    response.end("data: [DONE]\n\n");
  }
}

function imagesOf(content) {
  return Array.isArray(content) ? content.filter(({ type }) => type === "image_url") : [];
}

function textOf(content) {
  if (!Array.isArray(content)) return content ?? "";
  const numImages = imagesOf(content).length;
  const texts = content.flatMap(({ text }) => text ?? []);
  return [...texts, `(${numImages} ${numImages === 1 ? "image" : "images"})`].join(" ");
}

/** The deltas of an answer. */
function deltasOf({ messages, tools, response_format, model }, text) {
  const thoughts = text.includes("think") ? "The user asks. **First** I think about it." : "";
  const reasoning = piecesOf(thoughts).map((piece) => ({ reasoning_content: piece }));
  const isResult = messages.at(-1).role === "tool";
  const { name } = tools?.[0].function ?? {};
  if (name && !isResult && /weather|both/.test(text)) {
    const cities = text.includes("both") ? ["Rome", "Oslo"] : ["Rome"];
    return [...reasoning, ...cities.flatMap((city, index) => callDeltas(index, name, { city }))];
  }
  const content = isResult
    ? `The tools said: ${messages.filter(({ role }) => role === "tool").map((m) => m.content)}`
    : response_format
      ? JSON.stringify({ name: "Ada", age: text.includes("wrong") ? "36" : 36 }, null, 1)
      : contentFor(messages, text, model);
  return [...reasoning, ...piecesOf(content).map((piece) => ({ content: piece }))];
}

const FORMULAS = [
  "Inline $a^2 + b^2 = c^2$ costs $5 and $6.",
  "$$\n\\int_0^1 x \\, dx = \\frac{1}{2}\n$$",
  "Also \\(\\sqrt{2}\\), and $\\fbox{x}$, but not $\\nonsense{$.",
].join("\n\n");

function contentFor(messages, text, model) {
  if (text.includes("count")) return countOn(messages.at(-1));
  if (text.includes("math")) return FORMULAS;
  const echo = echoOf(messages, text);
  return model === "pocket" ? echo : `${model}. ${echo}`;
}

/** The numbers after those of the last message, if that is an answer. */
function countOn({ role, content }) {
  const from = role === "assistant" ? Number(content.trim().split(" ").at(-1)) + 1 : 1;
  const numbers = Array.from({ length: 151 - from }, (_, i) => from + i).join(" ");
  return from === 1 ? numbers : ` ${numbers}`;
}

function echoOf(messages, text) {
  const system = messages.find((message) => message.role === "system");
  return `You said: ${text}\n\n\`\`\`python\nprint("${messages.length} messages")\n\`\`\`\n${system ? `System: ${system.content}` : "No system prompt."}`;
}

function piecesOf(text) {
  return text.match(/\s*\S+/g) ?? [];
}

function callDeltas(index, name, args) {
  const first = { id: `call_${index}`, type: "function", function: { name, arguments: "" } };
  const others = JSON.stringify(args).match(/.{1,5}/g);
  return [first, ...others.map((piece) => ({ function: { arguments: piece } }))].map((call) => ({
    tool_calls: [{ index, ...call }],
  }));
}
