/** Stores conversations shortly after they change, and reports if the browser refuses. */

import type { ChatStore } from "./chat-state";
import type { Keeper } from "./kept";

/** How often a growing conversation is stored: after a crash, not more than this is lost of it. */
const KEEP_MILLISECONDS = 150;

export class Keeping {
  private readonly unkept = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(
    private readonly keeper: Keeper,
    private readonly store: ChatStore,
  ) {}

  soon(id: string): void {
    this.unkept.add(id);
    this.timer ??= setTimeout(() => this.now(), KEEP_MILLISECONDS);
  }

  /** Stores every change that is not stored yet. */
  now(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    for (const id of this.unkept) {
      const conversation = this.store.find(id);
      if (conversation) this.watch(this.keeper.put(conversation));
    }
    this.unkept.clear();
  }

  remove(id: string): void {
    this.unkept.delete(id);
    this.watch(this.keeper.remove(id));
  }

  /** Reports a failed write. The conversation stays on the screen. */
  watch(writing: Promise<void>): void {
    writing.catch((error: unknown) => this.store.set({ keepFailure: wordsOf(error) }));
  }
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
