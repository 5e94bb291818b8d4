/** Describes why an answer failed. */

import { StreamCut } from "../../api/chat";
import { ApiError, Unreachable } from "../../api/client";

export interface Failure {
  title: string;
  /** The service's own sentence where it gave one. */
  words: string;
  /** When the service said it will accept requests again, in milliseconds since the epoch. */
  retryAt: number | null;
}

export function describeFailure(error: unknown, now = Date.now()): Failure {
  if (error instanceof ApiError) {
    const { message: words, retryAfterSeconds: wait } = error;
    return { title: titleOf(error), words, retryAt: wait === null ? null : now + wait * 1000 };
  }
  const words = error instanceof Error ? error.message : String(error);
  if (error instanceof StreamCut) return { title: "The answer was cut off", words, retryAt: null };
  if (error instanceof Unreachable) return { title: "No connection", words, retryAt: null };
  return { title: "The answer could not be read", words, retryAt: null };
}

function titleOf({ status }: ApiError): string {
  switch (status) {
    case 200:
      return "The answer ended with an error";
    case 403:
      return "This key may not chat";
    case 429:
      return "Limit reached";
    case 503:
      return "The service is busy or not ready";
    default:
      return status >= 500 ? "The service failed" : "The service refused the request";
  }
}
