/** Reads the settings of an imported conversation. What is not as expected is left out. */

import { isNumber } from "./import-values";
import { isObject } from "./reading";
import {
  completeSettings,
  DEFAULT_SAMPLING,
  sideOf,
  type ChatSettings,
  type Sampling,
} from "./settings";

export function readSettings(value: unknown): ChatSettings {
  const kept = isObject(value) ? value : {};
  const texts: Partial<ChatSettings> = {};
  for (const name of ["preset", "system", "ownSystem", "tools", "schema"] as const) {
    if (typeof kept[name] === "string") texts[name] = kept[name];
  }
  for (const name of ["model", "reasoningEffort"] as const) {
    if (typeof kept[name] === "string") texts[name] = kept[name];
  }
  const choice = kept.toolChoice;
  if (choice === "none" || choice === "required") texts.toolChoice = choice;
  if (isObject(choice) && typeof choice.name === "string") texts.toolChoice = { name: choice.name };
  const whole = completeSettings({ ...texts, sampling: readSampling(kept.sampling) });
  if (!isObject(kept.right)) return whole;
  return { ...whole, right: sideOf(readSettings({ ...kept.right, right: null })) };
}

export function readSampling(value: unknown): Sampling {
  const kept = isObject(value) ? value : {};
  const { stop, ...numbers } = kept;
  const known = Object.keys(DEFAULT_SAMPLING).filter((name) => isNumber(numbers[name]));
  const stops = Array.isArray(stop) && stop.every((text) => typeof text === "string") ? stop : null;
  return {
    ...DEFAULT_SAMPLING,
    ...Object.fromEntries(known.map((name) => [name, numbers[name]])),
    stop: stops,
  };
}
