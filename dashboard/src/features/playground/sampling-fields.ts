/** The sampling parameters that the settings panel offers, as data. */

import type { Sampling } from "./settings";

/** Parameters that are one number. */
export type NumberName = Exclude<keyof Sampling, "stop">;

interface FieldBase {
  name: NumberName;
  label: string;
  min: number;
}

export interface Slider extends FieldBase {
  kind: "slider";
  hint: string;
  max: number;
  /** The value where neither the settings nor the model have one. */
  fallback: number;
}

/** A number entered as digits; empty means that nothing is chosen. */
export interface NumberBox extends FieldBase {
  kind: "number";
  max?: number;
  /** Without a step only whole numbers can be entered. */
  step?: number;
  /** Shown while it is empty and the model has no value. */
  placeholder: string;
}

export type SamplingField = Slider | NumberBox;

export const STEP = 0.05;

/** Shown at once. */
export const MAIN_FIELDS: SamplingField[] = [
  {
    kind: "slider",
    name: "temperature",
    label: "Temperature",
    hint: "0 always picks the most likely token",
    fallback: 1,
    min: 0,
    max: 2,
  },
  {
    kind: "slider",
    name: "top_p",
    label: "Top p",
    hint: "Samples from the most likely tokens whose probabilities add up to this",
    fallback: 1,
    min: 0.05,
    max: 1,
  },
  {
    kind: "number",
    name: "max_tokens",
    label: "Max tokens",
    placeholder: "no limit",
    min: 1,
  },
  { kind: "number", name: "seed", label: "Seed", placeholder: "random", min: 0 },
];

/** Shown under "More". */
export const MORE_FIELDS: SamplingField[] = [
  // 0, the service's own default, keeps all tokens.
  { kind: "number", name: "top_k", label: "Top k", placeholder: "all", min: 0 },
  {
    kind: "number",
    name: "repetition_penalty",
    label: "Repetition penalty",
    placeholder: "1",
    min: 0.05,
    max: 10,
    step: STEP,
  },
  {
    kind: "slider",
    name: "min_p",
    label: "Min p",
    hint: "Drops tokens less likely than this fraction of the most likely one",
    fallback: 0,
    min: 0,
    max: 1,
  },
  {
    kind: "slider",
    name: "presence_penalty",
    label: "Presence penalty",
    hint: "Above 0, tokens that have already appeared become less likely",
    fallback: 0,
    min: -2,
    max: 2,
  },
  {
    kind: "slider",
    name: "frequency_penalty",
    label: "Frequency penalty",
    hint: "Like presence penalty, but grows with each repetition",
    fallback: 0,
    min: -2,
    max: 2,
  },
];
