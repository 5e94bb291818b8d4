/** System prompts to start from. The bundled model was trained on exactly these texts. */

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
  /** The preset to switch to; without one the current preset stays. */
  preset?: Preset;
}

/** First questions, of the kinds the bundled model can answer. */
export const SUGGESTIONS: Suggestion[] = [
  { title: "Arithmetic", text: "What is 7 plus 5?" },
  { title: "Sorting", text: "Sort these words: pear, apple, fig, cherry" },
  { title: "A fact", text: "What is a KV cache?" },
  { title: "A story", text: "Tell me a short story about a fox" },
  { title: "Step by step", text: "Explain how to add 27 and 15", preset: TUTOR },
  { title: "Memory", text: "My name is Ada. What is 6 times 7?" },
];
