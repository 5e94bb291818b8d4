/** Runs one answer from the request to its end, and tells the conversation what happens. */

import { openChat, type ChatRequest } from "../../api/chat";
import { getJson } from "../../api/client";
import type { RequestRecord } from "../../api/types";
import type { ConversationAction } from "./conversation";
import { describeFailure } from "./failure";

/** The screen takes in what came about this often: a fast model sends far more pieces. */
const FLUSH_MILLISECONDS = 40;
/** The service writes its record just after the last byte. */
const RECORD_WAITS_MILLISECONDS = [0, 250, 1000];
const NUM_RECORDS = 100;

export type Tell = (action: ConversationAction) => void;

/** Never throws: failures are told. `onError` hears of them too, for what concerns the session. */
export async function runAnswer(
  key: string,
  request: ChatRequest,
  signal: AbortSignal,
  tell: Tell,
  onError: (error: unknown) => void,
): Promise<void> {
  tell({ kind: "begun", at: performance.now() });
  const pieces = new PieceBatch(tell);
  try {
    const { requestId, timing, events } = await openChat(key, request, signal);
    tell({ kind: "opened", requestId, timing });
    for await (const event of events) {
      if (event.kind === "text") pieces.add(event.text);
      else if (event.kind === "usage") tell({ kind: "measured", usage: event.usage });
      else tell({ kind: "measured", finishReason: event.reason });
    }
    pieces.flush();
    tell({ kind: "ended", state: "done", at: performance.now() });
  } catch (error) {
    pieces.flush();
    const at = performance.now();
    if (signal.aborted) {
      tell({ kind: "ended", state: "stopped", at });
      return;
    }
    onError(error);
    tell({ kind: "ended", state: "failed", at, failure: describeFailure(error) });
  }
}

/** Gathers pieces and tells them together, with the time of the last one. */
class PieceBatch {
  private text = "";
  private numPieces = 0;
  private at = 0;
  private isFirst = true;
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly tell: Tell) {}

  add(text: string): void {
    this.text += text;
    this.numPieces++;
    this.at = performance.now();
    // The first piece goes at once: it ends the waiting.
    if (this.isFirst) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), FLUSH_MILLISECONDS);
    this.isFirst = false;
  }

  flush(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    if (this.numPieces === 0) return;
    this.tell({ kind: "grew", text: this.text, at: this.at, numPieces: this.numPieces });
    this.text = "";
    this.numPieces = 0;
  }
}

/** The service's own account of a request, or null when it cannot be had. */
export async function fetchRecord(key: string, requestId: string): Promise<RequestRecord | null> {
  for (const wait of RECORD_WAITS_MILLISECONDS) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const path = `/api/requests?limit=${NUM_RECORDS}`;
    const answer = await getJson<{ requests: RequestRecord[] }>(path, { key }).catch(() => null);
    if (!answer) return null;
    const record = answer.requests.find(({ request_id }) => request_id === requestId);
    if (record) return record;
  }
  return null;
}
