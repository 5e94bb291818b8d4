/** Tables as CSV (RFC 4180). Numbers are in base units, times in ISO 8601 (UTC). */

import type { RequestRecord } from "../api/types";
import type { Chart } from "./chart";

type Cell = string | number | boolean | null;

export function toCsv(rows: Cell[][]): string {
  return rows.map((row) => `${row.map(cellText).join(",")}\r\n`).join("");
}

function cellText(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell !== "string") return String(cell);
  // Callers choose request ids. A spreadsheet would run a formula.
  const safe = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const isoTime = (unixSeconds: number) => new Date(unixSeconds * 1000).toISOString();

const UNITS = {
  s: "seconds",
  bytes: "bytes",
  ratio: "ratio",
  "per-second": "per second",
  count: "",
  cores: "cores",
};

/** One row per point, with a column per line. A point without samples has no value. */
export function chartCsv({ times, lines, unit, samples }: Chart): string {
  const words = UNITS[unit];
  const head = lines.map(({ name }) => (words ? `${name} (${words})` : name));
  const rows = times.map((time, i): Cell[] => [
    isoTime(time),
    ...lines.map(({ values }) => values[i] ?? null),
    ...(samples ? [samples[i] ?? 0] : []),
  ]);
  return toCsv([["time", ...head, ...(samples ? ["n"] : [])], ...rows]);
}

const COLUMNS: (keyof RequestRecord)[] = [
  "request_id",
  "key_name",
  "operation",
  "model",
  "stream",
  "outcome",
  "error_kind",
  "error_phase",
  "prompt_tokens",
  "cached_tokens",
  "output_tokens",
  "queue_seconds",
  "prefill_seconds",
  "decode_seconds",
  "ttft_seconds",
  "duration_seconds",
];

export function requestsCsv(requests: RequestRecord[]): string {
  const rows = requests.map((request): Cell[] => [
    isoTime(request.started_at),
    ...COLUMNS.map((name) => request[name] ?? null),
  ]);
  return toCsv([["started_at", ...COLUMNS], ...rows]);
}
