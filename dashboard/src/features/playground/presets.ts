/** System prompts to start from. The bundled model was trained on these very texts. */

export interface Preset {
  name: string;
  system: string;
}

export const OWN = "Own";

export const PRESETS: Preset[] = [
  { name: "Plain", system: "" },
  {
    name: "Tutor",
    system:
      "You are a patient tutor. Explain ideas step by step, in plain words, and end with a short question that checks understanding.",
  },
  {
    name: "Creative",
    system: "You are an imaginative writing partner. Be vivid, playful and original.",
  },
  {
    name: "Coding",
    system: "You are a precise coding assistant. Show working code first, then explain briefly.",
  },
];

/** First questions, of the kinds the bundled model can answer. */
export const SUGGESTIONS = [
  "What is 7 plus 5?",
  "What is a KV cache?",
  "Sort these words: pear, apple, fig, cherry",
  "Tell me a short story about a fox",
];
