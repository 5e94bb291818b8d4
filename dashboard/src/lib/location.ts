/** The address bar as state: the query string holds the page, the time and filters, never a key. */

import { useCallback, useMemo, useSyncExternalStore } from "react";
import type { TimeWindow } from "./chart-view";

const CHANGED = "llm-location-changed";

/** What is looked at on every page. Other parameters are a page's own and end with it. */
const SHARED = ["range", "from", "to"];

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener(CHANGED, listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener(CHANGED, listener);
  };
}

/** The query string with some parameters set; an empty value removes one. */
export function searchWith(search: string, changes: Record<string, string>): string {
  const params = new URLSearchParams(search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "") params.delete(name);
    else params.set(name, value);
  }
  return `?${params.toString()}`;
}

/** The query string of another page: the time stays, filters do not. */
export function searchOfPage(
  search: string,
  page: string,
  changes: Record<string, string> = {},
): string {
  const params = new URLSearchParams(search);
  const kept = new URLSearchParams({ page });
  if (params.get("page") === page) return searchWith(search, changes);
  for (const name of SHARED) {
    const value = params.get(name);
    if (value !== null) kept.set(name, value);
  }
  return searchWith(kept.toString(), changes);
}

function useSearch(): string {
  return useSyncExternalStore(subscribe, () => window.location.search);
}

function announce(): void {
  window.dispatchEvent(new Event(CHANGED));
}

/** Opens another page of the dashboard at the same time range, with its own parameters. */
export function openPage(page: string, changes: Record<string, string> = {}): void {
  history.pushState(null, "", searchOfPage(window.location.search, page, changes));
  announce();
  window.scrollTo(0, 0);
}

function change(changes: Record<string, string>): void {
  history.pushState(null, "", searchWith(window.location.search, changes));
  announce();
}

/** Reads and sets one parameter; a value outside `allowed` reads as the first of them. */
export function useSearchParam<T extends string>(
  name: string,
  allowed: readonly [T, ...T[]],
): [T, (value: T) => void] {
  const asked = new URLSearchParams(useSearch()).get(name);
  const value = allowed.find((option) => option === asked) ?? allowed[0];
  const set = useCallback((next: T) => change({ [name]: next }), [name]);
  return [value, set];
}

/** Free text in the address. It replaces the history entry, so that typing adds none. */
export function useSearchText(name: string): [string, (value: string) => void] {
  const value = new URLSearchParams(useSearch()).get(name) ?? "";
  const set = useCallback(
    (next: string) => {
      history.replaceState(null, "", searchWith(window.location.search, { [name]: next }));
      announce();
    },
    [name],
  );
  return [value, set];
}

/** The window that the address names in whole seconds; null if it names none. */
export function parseWindow(search: string): TimeWindow | null {
  const params = new URLSearchParams(search);
  const [from, to] = [params.get("from"), params.get("to")].map((text) =>
    text !== null && /^\d{1,11}$/.test(text) ? Number(text) : NaN,
  );
  return from !== undefined && to !== undefined && from < to ? [from, to] : null;
}

/** The parameters that name a window: whole seconds that include it. */
export function windowParams(window: TimeWindow | null): Record<string, string> {
  if (!window) return { from: "", to: "" };
  return { from: String(Math.floor(window[0])), to: String(Math.ceil(window[1])) };
}

/** The window that the address names, and a function that sets or removes it. */
export function useTimeWindow(): [TimeWindow | null, (window: TimeWindow | null) => void] {
  const search = useSearch();
  const window = useMemo(() => parseWindow(search), [search]);
  const set = useCallback((next: TimeWindow | null) => change(windowParams(next)), []);
  return [window, set];
}

/** Chooses a range that ends now: it replaces a window. */
export function useRangeParam<T extends string>(
  allowed: readonly [T, ...T[]],
): [T, (value: T) => void] {
  const [range] = useSearchParam("range", allowed);
  const set = useCallback((next: T) => change({ range: next, ...windowParams(null) }), []);
  return [range, set];
}
