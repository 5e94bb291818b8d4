import type { KeyboardEvent } from "react";

/** Enter sends; Shift+Enter adds a line. During composition Enter belongs to the input method. */
export function isSendKey(event: KeyboardEvent): boolean {
  return event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing;
}
