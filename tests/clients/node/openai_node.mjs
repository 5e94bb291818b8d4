// dependencies: {"openai": "7.59.0", "zod": "4.6.7"}
// The official client for Node: chat, streamed tools, parse, responses.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const model = process.env.LLM_MODEL;
const client = new OpenAI({
  baseURL: `${process.env.LLM_BASE_URL}/v1`,
  apiKey: process.env.LLM_API_KEY,
});
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};
const weather = { name: "get_weather", description: "Get the weather in a city.", parameters };
const question = [{ role: "user", content: "What is the weather in Rome?" }];

const sum = await client.chat.completions.create({
  model,
  temperature: 0,
  messages: [{ role: "user", content: "What is 7 plus 5?" }],
});
assert.match(sum.choices[0].message.content, /12/);

const runner = client.chat.completions.stream({
  model,
  temperature: 0,
  messages: question,
  tools: [{ type: "function", function: weather }],
});
const completion = await runner.finalChatCompletion();
const [call] = completion.choices[0].message.tool_calls;
assert.equal(completion.choices[0].finish_reason, "tool_calls");
assert.deepEqual(JSON.parse(call.function.arguments), { city: "Rome" });

const parsed = await client.chat.completions.parse({
  model,
  temperature: 0,
  max_tokens: 60,
  messages: [{ role: "user", content: "Ada is 36 years old." }],
  response_format: zodResponseFormat(z.object({ name: z.string(), age: z.int() }), "person"),
});
assert.equal(typeof parsed.choices[0].message.parsed.age, "number");

const stream = client.responses.stream({ model, temperature: 0, input: "What is 7 plus 5?" });
const kinds = [];
for await (const event of stream) kinds.push(event.type);
assert.match((await stream.finalResponse()).output_text, /12/);
assert.equal(kinds.at(-1), "response.completed");
