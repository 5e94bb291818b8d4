/** The address bar as state: page and range live in the query string, never a key. */

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

/** The current query string with `name` set to `value`. */
export function searchWith(search: string, name: string, value: string): string {
  const params = new URLSearchParams(search);
  params.set(name, value);
  return `?${params.toString()}`;
}

/** Reads and sets one parameter; a value outside `allowed` reads as the first of them. */
export function useSearchParam<T extends string>(
  name: string,
  allowed: readonly [T, ...T[]],
): [T, (value: T) => void] {
  const search = useSyncExternalStore(subscribe, () => window.location.search);
  const asked = new URLSearchParams(search).get(name);
  const value = allowed.find((option) => option === asked) ?? allowed[0];
  const set = useCallback(
    (next: T) => {
      history.pushState(null, "", searchWith(window.location.search, name, next));
      window.dispatchEvent(new Event(CHANGED));
    },
    [name],
  );
  return [value, set];
}
