/** The address bar as state: the query string holds the page and the range, never a key. */

import { useCallback, useSyncExternalStore } from "react";

const CHANGED = "llm-location-changed";

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

function useSearch(): string {
  return useSyncExternalStore(subscribe, () => window.location.search);
}

function announce(): void {
  window.dispatchEvent(new Event(CHANGED));
}

/** Opens another page of the dashboard, and keeps everything else in the address. */
export function openPage(page: string): void {
  history.pushState(null, "", searchWith(window.location.search, { page }));
  announce();
  window.scrollTo(0, 0);
}

/** Reads and sets one parameter; a value outside `allowed` reads as the first of them. */
export function useSearchParam<T extends string>(
  name: string,
  allowed: readonly [T, ...T[]],
): [T, (value: T) => void] {
  const asked = new URLSearchParams(useSearch()).get(name);
  const value = allowed.find((option) => option === asked) ?? allowed[0];
  const set = useCallback(
    (next: T) => {
      history.pushState(null, "", searchWith(window.location.search, { [name]: next }));
      announce();
    },
    [name],
  );
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
