/** The settings for the next message. null leaves a choice to the service. */

import type { ChatRequest, ChatTurn } from "../../api/types";
import { readSchema } from "./schema";
import { readTools, sentChoice, type ToolChoice } from "./tools";

/** Named as in the request. null is not sent, so the service uses the model's own default. */
export interface Sampling {
  temperature: number | null;
  top_p: number | null;
  top_k: number | null;
  min_p: number | null;
  max_tokens: number | null;
  /** null gives a different answer each time. */
  seed: number | null;
  stop: string[] | null;
  presence_penalty: number | null;
  frequency_penalty: number | null;
  repetition_penalty: number | null;
}

/** The settings that can differ between two answers side by side. */
export interface Side {
  /** null means the first model that the service lists. */
  model: string | null;
  preset: string;
  system: string;
  /** The last custom system prompt, kept while a preset is used. */
  ownSystem: string;
  sampling: Sampling;
  reasoningEffort: string | null;
}

export interface ChatSettings extends Side {
  /** The settings of a second answer, beside the first; null for one answer. */
  right: Side | null;
  /** JSON as the user entered it; empty for none. */
  tools: string;
  toolChoice: ToolChoice;
  /** The JSON schema of the answer, as the user entered it; empty for none. */
  schema: string;
}

export const DEFAULT_SAMPLING: Sampling = {
  temperature: null,
  top_p: null,
  top_k: null,
  min_p: null,
  max_tokens: null,
  seed: null,
  stop: null,
  presence_penalty: null,
  frequency_penalty: null,
  repetition_penalty: null,
};

export const DEFAULT_SETTINGS: ChatSettings = {
  model: null,
  preset: "Plain",
  system: "",
  ownSystem: "",
  sampling: DEFAULT_SAMPLING,
  tools: "",
  toolChoice: "auto",
  schema: "",
  reasoningEffort: null,
  right: null,
};

/** Adds the settings that an earlier dashboard did not store. */
export function completeSettings(kept: Partial<ChatSettings>): ChatSettings {
  return {
    ...DEFAULT_SETTINGS,
    ...kept,
    sampling: { ...DEFAULT_SAMPLING, ...kept.sampling },
  };
}

export function sideOf(settings: ChatSettings): Side {
  const { model, preset, system, ownSystem, sampling, reasoningEffort } = settings;
  return { model, preset, system, ownSystem, sampling, reasoningEffort };
}

/** The settings of each answer that a question gets. */
export function sidesOf(settings: ChatSettings): ChatSettings[] {
  const { right } = settings;
  return right === null ? [settings] : [settings, { ...settings, ...right }];
}

export function isDefaultSampling(sampling: Sampling): boolean {
  return JSON.stringify({ ...DEFAULT_SAMPLING, ...sampling }) === JSON.stringify(DEFAULT_SAMPLING);
}

/** The turns with the system prompt before them, if there is one. */
export function withSystem(system: string, turns: ChatTurn[]): ChatTurn[] {
  const trimmed = system.trim();
  return trimmed ? [{ role: "system", content: trimmed }, ...turns] : turns;
}

/** What the user has to correct before anything can be sent, or null. */
export function findProblem({ tools, schema }: ChatSettings): string | null {
  if (readTools(tools).problem !== null) return "The tools in the settings are not valid.";
  if (readSchema(schema).problem !== null) return "The JSON schema in the settings is not valid.";
  return null;
}

export function buildRequest(
  settings: ChatSettings,
  model: string,
  turns: ChatTurn[],
): ChatRequest {
  return {
    model,
    messages: withSystem(settings.system, turns),
    ...buildOptions(settings),
  };
}

/** Everything in a request beside the model and the messages. */
export function buildOptions(settings: ChatSettings): Omit<ChatRequest, "model" | "messages"> {
  const chosen = Object.entries(settings.sampling).filter(([, value]) => value !== null);
  const schema = readSchema(settings.schema).value;
  const { reasoningEffort } = settings;
  return {
    ...(Object.fromEntries(chosen) as SentSampling),
    ...(reasoningEffort !== null && { reasoning_effort: reasoningEffort }),
    ...buildTools(settings),
    ...(schema && {
      response_format: {
        type: "json_schema" as const,
        json_schema: { name: "answer", strict: true, schema },
      },
    }),
  };
}

/** The part of a request that a template writes into the prompt. */
export function buildTools(
  settings: Pick<ChatSettings, "tools" | "toolChoice">,
): Pick<ChatRequest, "tools" | "tool_choice"> {
  const tools = readTools(settings.tools).value ?? [];
  if (tools.length === 0) return {};
  const choice = sentChoice(settings.toolChoice, tools);
  return { tools, ...(choice !== "auto" && { tool_choice: choice }) };
}

type SentSampling = { [Name in keyof Sampling]?: NonNullable<Sampling[Name]> };
