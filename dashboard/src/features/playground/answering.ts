/** Runs the request for an answer to its end, and reports each event as an action. */

import { openChat, type CallPiece } from "../../api/chat";
import type { Call } from "../../api/client";
import { findRequest } from "../../api/endpoints";
import type { ChatRequest, RequestRecord } from "../../api/types";
import type { AnswerAction, Growth } from "./conversation";
import { describeFailure } from "./failure";
import { isObject } from "./reading";
import type { JsonSchema } from "./schema";

/** How often received text reaches the screen: a fast model sends far more pieces. */
const FLUSH_MILLISECONDS = 40;
/** The service writes its record just after the last byte. */
const RECORD_WAITS_MILLISECONDS = [0, 250, 1000];

export type Tell = (action: AnswerAction) => void;

/** Never throws: a failure becomes an action. `onError` gets it too, to handle a refused key. */
export async function runAnswer(
  key: string,
  request: ChatRequest,
  signal: AbortSignal,
  tell: Tell,
  onError: (error: unknown) => void,
): Promise<void> {
  const pieces = new PieceBatch(tell);
  try {
    const { requestId, timing, events } = await openChat({ key, signal }, request);
    tell({ kind: "opened", requestId, timing });
    for await (const event of events) {
      if (event.kind === "usage") tell({ kind: "measured", usage: event.usage });
      else if (event.kind === "finish") tell({ kind: "measured", finishReason: event.reason });
      else pieces.add(event);
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

/** The schema that the request asks the answer to fit, or null. */
export function schemaOf({ response_format }: ChatRequest): JsonSchema | null {
  const schema = response_format?.json_schema?.schema;
  return isObject(schema) ? schema : null;
}

type Piece =
  | { kind: "text"; text: string }
  | { kind: "reasoning"; text: string }
  | { kind: "call"; piece: CallPiece };

const NOTHING: Growth = { text: "", reasoning: "", calls: [], at: 0, numPieces: 0 };

/** Collects pieces and reports them together, with the time of the last one. */
class PieceBatch {
  private growth = NOTHING;
  private isFirst = true;
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly tell: Tell) {}

  add(piece: Piece): void {
    // Reasoning is timed by its last piece, so it does not share a report with what follows.
    if (this.growth.reasoning !== "" && piece.kind !== "reasoning") this.flush();
    this.growth = grownBy(this.growth, piece);
    // The first piece is reported at once: it is what the user waits for.
    if (this.isFirst) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), FLUSH_MILLISECONDS);
    this.isFirst = false;
  }

  flush(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    if (this.growth.numPieces === 0) return;
    this.tell({ kind: "grew", ...this.growth });
    this.growth = NOTHING;
  }
}

function grownBy(growth: Growth, piece: Piece): Growth {
  const next = { ...growth, at: performance.now(), numPieces: growth.numPieces + 1 };
  if (piece.kind === "text") return { ...next, text: growth.text + piece.text };
  if (piece.kind === "reasoning") return { ...next, reasoning: growth.reasoning + piece.text };
  return { ...next, calls: [...growth.calls, piece.piece] };
}

/**
 * The service's own record of a finished request, or null if it cannot be had.
 *
 * It asks several times: the request may not have ended yet, and of several replicas only the
 * one that ran it knows it.
 */
export async function fetchRecord(call: Call, requestId: string): Promise<RequestRecord | null> {
  for (const wait of RECORD_WAITS_MILLISECONDS) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    try {
      const request = await findRequest(call, requestId);
      if (request && "outcome" in request) return request;
    } catch {
      // The service refused or does not answer: the record is optional.
      return null;
    }
  }
  return null;
}
