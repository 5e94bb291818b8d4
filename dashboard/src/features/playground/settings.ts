/** The settings for the next message. null leaves a choice to the service. */

import type { ChatRequest, ChatTurn } from "../../api/types";

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

export interface ChatSettings {
  /** null means the first model that the service lists. */
  model: string | null;
  preset: string;
  system: string;
  /** The last custom system prompt, kept while a preset is used. */
  ownSystem: string;
  sampling: Sampling;
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
};

/** Adds the settings that an earlier dashboard did not store. */
export function completeSettings(kept: Partial<ChatSettings>): ChatSettings {
  return {
    ...DEFAULT_SETTINGS,
    ...kept,
    sampling: { ...DEFAULT_SAMPLING, ...kept.sampling },
  };
}

export function isDefaultSampling(sampling: Sampling): boolean {
  return JSON.stringify({ ...DEFAULT_SAMPLING, ...sampling }) === JSON.stringify(DEFAULT_SAMPLING);
}

/** The turns with the system prompt before them, if there is one. */
export function withSystem(system: string, turns: ChatTurn[]): ChatTurn[] {
  const trimmed = system.trim();
  return trimmed ? [{ role: "system", content: trimmed }, ...turns] : turns;
}

export function buildRequest(
  settings: ChatSettings,
  model: string,
  turns: ChatTurn[],
): ChatRequest {
  const chosen = Object.entries(settings.sampling).filter(([, value]) => value !== null);
  return {
    model,
    messages: withSystem(settings.system, turns),
    ...(Object.fromEntries(chosen) as SentSampling),
  };
}

type SentSampling = { [Name in keyof Sampling]?: NonNullable<Sampling[Name]> };
