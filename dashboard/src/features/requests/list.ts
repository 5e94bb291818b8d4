/** Filters and sorts finished requests, and lists the options of each filter. */

import type { RequestRecord } from "../../api/types";
import { decodeSpeed } from "../../lib/requests";
import { sortBy, type Sort } from "../../lib/sort";

export interface Filters {
  /** Each of its words must occur somewhere in the request. */
  text: string;
  outcome: string;
  model: string;
  keyName: string;
}

export const NEWEST_FIRST: Sort = { column: "time", isDescending: true };

const VALUES: Record<string, (request: RequestRecord) => string | number | null> = {
  time: (request) => request.started_at,
  key: (request) => request.key_name,
  operation: (request) => request.operation,
  outcome: (request) => request.outcome,
  prompt: (request) => request.prompt_tokens,
  output: (request) => request.output_tokens,
  queue: (request) => request.queue_seconds,
  ttft: (request) => request.ttft_seconds,
  speed: (request) => decodeSpeed(request.output_tokens, request.decode_seconds),
  total: (request) => request.duration_seconds,
};

export const COLUMNS = Object.keys(VALUES);

export function listRequests(
  requests: RequestRecord[],
  filters: Filters,
  sort: Sort,
): RequestRecord[] {
  const words = filters.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = requests.filter(
    (request) =>
      isChosen(filters.outcome, request.outcome) &&
      isChosen(filters.model, request.model) &&
      isChosen(filters.keyName, request.key_name) &&
      words.every((word) => searchable(request).includes(word)),
  );
  return sortBy(found, VALUES[sort.column] ?? (() => null), sort.isDescending);
}

/** The values that occur, and the chosen one even if it does not. */
export function optionsOf(values: string[], chosen: string): string[] {
  return [...new Set([...values, ...(chosen === "" ? [] : [chosen])])].sort();
}

function isChosen(chosen: string, value: string): boolean {
  return chosen === "" || chosen === value;
}

function searchable(request: RequestRecord): string {
  const { request_id, key_name, operation, model, outcome, error_kind, error_phase } = request;
  const parts = [request_id, key_name, operation, model, outcome, error_kind, error_phase];
  return [...parts, request.stream ? "stream" : ""].join(" ").toLowerCase();
}
