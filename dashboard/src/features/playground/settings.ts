import type { ChatRequest, ChatTurn } from "../../api/chat";

export interface ChatSettings {
  /** null: the first model that the service lists. */
  model: string | null;
  preset: string;
  system: string;
  temperature: number;
  topP: number;
  maxTokens: number;
  /** null: a different answer each time. */
  seed: number | null;
}

export const DEFAULT_SETTINGS: ChatSettings = {
  model: null,
  preset: "Plain",
  system: "",
  temperature: 0.3,
  topP: 0.95,
  maxTokens: 256,
  seed: null,
};

export function buildRequest(
  settings: ChatSettings,
  model: string,
  turns: ChatTurn[],
): ChatRequest {
  const system = settings.system.trim();
  return {
    model,
    messages: system ? [{ role: "system", content: system }, ...turns] : turns,
    temperature: settings.temperature,
    top_p: settings.topP,
    max_tokens: settings.maxTokens,
    ...(settings.seed === null ? {} : { seed: settings.seed }),
  };
}
