/** System prompts to start from. The bundled model was trained on exactly these texts. */

import { EXAMPLE_SCHEMA } from "./schema";
import type { ChatSettings } from "./settings";
import { EXAMPLE_TOOLS } from "./tools";

export interface Preset {
  name: string;
  system: string;
}

export const OWN = "Own";

const TUTOR: Preset = {
  name: "Tutor",
  system:
    "You are a patient tutor. Explain ideas step by step, in plain words, and end with a short question that checks understanding.",
};

export const PRESETS: Preset[] = [
  { name: "Plain", system: "" },
  TUTOR,
  {
    name: "Creative",
    system: "You are an imaginative writing partner. Be vivid, playful and original.",
  },
  {
    name: "Coding",
    system: "You are a precise coding assistant. Show working code first, then explain briefly.",
  },
];

export interface Suggestion {
  title: string;
  text: string;
  /** The settings to change first; the others stay. */
  settings?: Partial<ChatSettings>;
  /** Not every model can call tools. */
  isForDemonstration?: boolean;
}

/** First questions, of the kinds the bundled model can answer. */
const SUGGESTIONS: Suggestion[] = [
  { title: "Arithmetic", text: "What is 7 plus 5?" },
  { title: "Sorting", text: "Sort these words: pear, apple, fig, cherry" },
  { title: "A fact", text: "What is a KV cache?" },
  { title: "A story", text: "Tell me a short story about a fox" },
  {
    title: "Step by step",
    text: "Explain how to add 27 and 15",
    settings: { preset: TUTOR.name, system: TUTOR.system },
  },
  { title: "Memory", text: "My name is Ada. What is 6 times 7?" },
  {
    title: "A tool",
    text: "What is the weather in Rome?",
    settings: { tools: EXAMPLE_TOOLS, toolChoice: "auto", schema: "" },
    isForDemonstration: true,
  },
  {
    title: "JSON that fits a schema",
    text: "Give me a JSON object with name Ada and age 36.",
    settings: { tools: "", schema: EXAMPLE_SCHEMA },
  },
];

/** The suggestions for a model, without those that would replace what the user has entered. */
export function listSuggestions(settings: ChatSettings, isDemonstration: boolean): Suggestion[] {
  const hasOwn =
    !["", EXAMPLE_TOOLS].includes(settings.tools) ||
    !["", EXAMPLE_SCHEMA].includes(settings.schema);
  return SUGGESTIONS.filter(({ settings: changes, isForDemonstration }) => {
    const replaces = changes?.tools !== undefined || changes?.schema !== undefined;
    return (isDemonstration || !isForDemonstration) && !(hasOwn && replaces);
  });
}
