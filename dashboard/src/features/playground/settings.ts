/** What the next message is asked with. A null leaves the choice to the service. */

import type { ChatRequest, ChatTurn } from "../../api/types";

/** Named as on the wire. null: not sent, so the service uses the model's own default. */
export interface Sampling {
  temperature: number | null;
  top_p: number | null;
  top_k: number | null;
  min_p: number | null;
  max_tokens: number | null;
  /** null: a different answer each time. */
  seed: number | null;
  stop: string[] | null;
  presence_penalty: number | null;
  frequency_penalty: number | null;
  repetition_penalty: number | null;
}

export interface ChatSettings {
  /** null: the first model that the service lists. */
  model: string | null;
  preset: string;
  system: string;
  /** The system prompt last written under the preset "Own"; it waits there while others are used. */
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

/** What was kept by an earlier dashboard may lack what this one knows. */
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

/** The turns with the system prompt before them, as the model is told. */
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
