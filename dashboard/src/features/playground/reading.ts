/** JSON that the user enters, as a value or as the reason why it is not one. */

export type Reading<T> = { value: T; problem: null } | { value: null; problem: string };

export function valueOf<T>(value: T): Reading<T> {
  return { value, problem: null };
}

export function problemOf<T>(problem: string): Reading<T> {
  return { value: null, problem };
}

/** `syntax.ts` finds the place of the error; it is not needed to send a request. */
export const NOT_JSON = "This is not valid JSON.";

export function readJson(text: string): Reading<unknown> {
  try {
    return valueOf(JSON.parse(text) as unknown);
  } catch {
    return problemOf(NOT_JSON);
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
