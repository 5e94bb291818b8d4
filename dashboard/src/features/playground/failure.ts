/** What went wrong with an answer, in words. */

import { StreamCut } from "../../api/chat";
import { ApiError, Unreachable } from "../../api/client";

export interface Failure {
  title: string;
  /** The service's own sentence where it gave one. */
  words: string;
  /** How long the service asked to wait. */
  waitSeconds: number | null;
}

export function describeFailure(error: unknown): Failure {
  if (error instanceof ApiError) {
    return { title: titleOf(error), words: error.message, waitSeconds: error.retryAfterSeconds };
  }
  const words = error instanceof Error ? error.message : String(error);
  if (error instanceof StreamCut) return { title: "The answer was cut", words, waitSeconds: null };
  if (error instanceof Unreachable) return { title: "No connection", words, waitSeconds: null };
  return { title: "The answer could not be read", words, waitSeconds: null };
}

function titleOf({ status }: ApiError): string {
  switch (status) {
    case 200:
      return "The answer broke off";
    case 403:
      return "This key may not chat";
    case 429:
      return "Limit reached";
    case 503:
      return "The service is busy or not ready";
    default:
      return status >= 500 ? "The service failed" : "The service refused";
  }
}
