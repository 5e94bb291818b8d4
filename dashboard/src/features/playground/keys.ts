import type { KeyboardEvent } from "react";

/** Enter alone; Shift+Enter makes a line, and while an input method composes, Enter is its own. */
export function isSendKey(event: KeyboardEvent): boolean {
  return event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing;
}
