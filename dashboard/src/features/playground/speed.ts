/** The speed of an answer, as measured by the browser and by the service. */

import { decodeSpeed } from "../../lib/requests";
import { formatNumber, formatSeconds } from "../../lib/units";
import type { AnswerStats } from "./conversation";

/** If all pieces arrive within this time, they came in one packet and have no speed. */
const MIN_MEASURED_SECONDS = 0.05;

export interface AnswerSpeed {
  ttftSeconds: number | null;
  tokensPerSecond: number | null;
  /** True while the tokens are estimated by the pieces received, before the usage is known. */
  isEstimate: boolean;
}

/** The speed as measured by the browser. */
export function speedOf({
  sentAt,
  firstTextAt,
  lastTextAt,
  numPieces,
  usage,
}: AnswerStats): AnswerSpeed {
  if (firstTextAt === null || lastTextAt === null) {
    return { ttftSeconds: null, tokensPerSecond: null, isEstimate: true };
  }
  const seconds = (lastTextAt - firstTextAt) / 1000;
  const numAfterFirst = (usage?.completion_tokens ?? numPieces) - 1;
  return {
    ttftSeconds: (firstTextAt - sentAt) / 1000,
    tokensPerSecond:
      seconds >= MIN_MEASURED_SECONDS && numAfterFirst > 0 ? numAfterFirst / seconds : null,
    isEstimate: usage === null,
  };
}

export interface TimingRow {
  name: string;
  /** The value as text; null if this side cannot know it. */
  service: string | null;
  browser: string | null;
}

/** Both measurements of one request. Rows that neither side knows are left out. */
export function joinTimings(stats: AnswerStats): TimingRow[] {
  const { record, timing } = stats;
  const { ttftSeconds, tokensPerSecond } = speedOf(stats);
  const total = stats.endedAt === null ? null : (stats.endedAt - stats.sentAt) / 1000;
  const queue = record?.queue_seconds ?? timing.queue ?? null;
  const prefill = record?.prefill_seconds ?? timing.prefill ?? null;
  const rows: TimingRow[] = [
    { name: "queue", service: seconds(queue), browser: null },
    { name: "prefill", service: seconds(prefill), browser: null },
    { name: "TTFT", service: seconds(record?.ttft_seconds), browser: seconds(ttftSeconds) },
    { name: "decode", service: seconds(record?.decode_seconds), browser: null },
    {
      name: "speed",
      service: perSecond(record ? decodeSpeed(record.output_tokens, record.decode_seconds) : null),
      browser: perSecond(tokensPerSecond),
    },
    { name: "total", service: seconds(record?.duration_seconds), browser: seconds(total) },
  ];
  return rows.filter((row) => row.service !== null || row.browser !== null);
}

function seconds(value: number | null | undefined): string | null {
  return value === null || value === undefined ? null : formatSeconds(value);
}

function perSecond(value: number | null): string | null {
  return value === null ? null : `${formatNumber(value)} tok/s`;
}
