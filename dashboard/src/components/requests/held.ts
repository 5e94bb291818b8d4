import { useState, type FocusEvent } from "react";

export interface Held<T> {
  items: T[];
  /** How many newer items wait. */
  numNew: number;
  /** Shows the newer items now. */
  showNew: () => void;
  /** For the element that holds the items. */
  handlers: {
    onPointerMove: () => void;
    onPointerLeave: () => void;
    onFocus: () => void;
    onBlur: (event: FocusEvent) => void;
  };
}

/**
 * Keeps `items` as they are while the pointer or the focus is on them, or while `isOpen`, so that
 * no row moves away under it.
 */
export function useHeld<T>(items: T[], idOf: (item: T) => string, isOpen = false): Held<T> {
  const [isPointed, setPointed] = useState(false);
  const [isFocused, setFocused] = useState(false);
  const [kept, setKept] = useState(items);
  const isHeld = isPointed || isFocused || isOpen;
  if (!isHeld && kept !== items) setKept(items);
  const known = isHeld && kept !== items ? new Set(kept.map(idOf)) : null;
  return {
    items: isHeld ? kept : items,
    numNew: known ? items.filter((item) => !known.has(idOf(item))).length : 0,
    showNew: () => setKept(items),
    handlers: {
      // Not "enter": a list that appears under a pointer has none, for React, until it moves out.
      onPointerMove: () => setPointed(true),
      onPointerLeave: () => setPointed(false),
      onFocus: () => setFocused(true),
      onBlur: (event) => {
        if (!event.currentTarget.contains(event.relatedTarget)) setFocused(false);
      },
    },
  };
}
