/** What the other tabs with this dashboard do: which answers stream there, and what they stored. */

import type { KeptChange } from "./kept";

/** A tab with a stream stores it at least once a second. After this, it has been closed. */
const SILENCE_MILLISECONDS = 3000;
/** A stream is stored many times a second; it is enough to show it a few times. */
const RELOAD_MILLISECONDS = 400;

export class OtherTabs {
  /** The conversations in which answers stream, and when their silence will mean that they ended. */
  private readonly streaming = new Map<string, ReturnType<typeof setTimeout>>();
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly reload: () => void) {}

  has(id: string): boolean {
    return this.streaming.has(id);
  }

  hear({ id, isStreaming }: KeptChange): void {
    clearTimeout(this.streaming.get(id));
    this.streaming.delete(id);
    if (isStreaming) {
      const silence = setTimeout(() => {
        this.streaming.delete(id);
        this.reload();
      }, SILENCE_MILLISECONDS);
      this.streaming.set(id, silence);
    }
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.reload();
    }, RELOAD_MILLISECONDS);
  }
}
