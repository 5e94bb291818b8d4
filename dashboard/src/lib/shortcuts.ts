import { useEffect } from "react";

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select") !== null;
}

/** A dialog may hold what would be lost on another page. Only its own keys work in it. */
function isInDialog(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("[aria-modal='true']") !== null;
}

/**
 * Keyboard shortcuts. They need no modifier. Letters and digits do nothing while the user types,
 * and except for "?", which also closes the help, nothing in a dialog.
 */
export function useShortcuts(actions: Record<string, () => void>): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.length === 1 && isTyping(event.target)) return;
      if (event.key.length === 1 && event.key !== "?" && isInDialog(event.target)) return;
      const action = actions[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  });
}
