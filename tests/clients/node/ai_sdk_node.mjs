// dependencies: {"ai": "7.0.173", "@ai-sdk/openai": "4.0.118", "@ai-sdk/openai-compatible": "3.0.92", "zod": "4.6.7"}
// Vercel's AI SDK: text, streams, tools and objects, over chat completions and Responses.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const options = { baseURL: `${process.env.LLM_BASE_URL}/v1`, apiKey: process.env.LLM_API_KEY };
const name = process.env.LLM_MODEL;
const models = {
  compatible: createOpenAICompatible({
    name: "local",
    supportsStructuredOutputs: true,
    ...options,
  }).chatModel(name),
  responses: createOpenAI(options).responses(name),
};
const weather = tool({
  description: "Get the weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async () => ({ temperature: 21, condition: "sunny" }),
});

for (const [kind, model] of Object.entries(models)) {
  const common = { model, temperature: 0, maxOutputTokens: 100, maxRetries: 0 };
  const whole = await generateText({ ...common, prompt: "What is 7 plus 5?" });
  assert.match(whole.text, /12/, kind);

  const stream = streamText({
    ...common,
    prompt: "What is the weather in Rome?",
    tools: { get_weather: weather },
    stopWhen: stepCountIs(3),
  });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  const steps = await stream.steps;
  assert.deepEqual(steps[0].toolCalls[0].input, { city: "Rome" }, kind);
  assert.match(text, /sunny/, kind);

  const { output } = await generateText({
    ...common,
    prompt: "Ada is 36 years old.",
    output: Output.object({ schema: z.object({ name: z.string(), age: z.int() }) }),
  });
  assert.equal(typeof output.age, "number", kind);
}
