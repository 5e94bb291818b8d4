/** Checks single values of an imported file. */

import { isObject } from "./reading";

/** What is wrong with a file, for the user. */
export class Unreadable extends Error {}

export type Entry = Record<string, unknown>;

export function objectOf(value: unknown): Entry {
  if (!isObject(value)) throw new Unreadable("The file holds something else than conversations.");
  return value;
}

export function listOf(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value))
    throw new Unreadable(`A conversation in the file has no list of ${name}.`);
  return value;
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function requiredText(value: unknown, name: string): string {
  if (typeof value !== "string") throw new Unreadable(`A message in the file has no ${name}.`);
  return value;
}

export function wholeOf(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value)) throw new Unreadable(`A message in the file has no ${name}.`);
  return value as number;
}

export function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** A time in milliseconds; in the future or not a time at all, it is now. */
export function timeOf(value: unknown, now: number): number {
  return isNumber(value) && value > 0 && value <= now ? value : now;
}
