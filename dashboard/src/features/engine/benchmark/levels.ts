/** What a benchmark measures, and the limits that follow from it. */

/** The numbers of streams at once, in the order in which they are measured. */
export const LEVELS = [1, 2, 4, 8, 16] as const;

/** The service's objectives, in seconds. */
export const OBJECTIVES = { ttft: 2, itl: 0.2 } as const;

/** Bursts and longer prompts need room: only this part of the measured rate is proposed. */
const PROPOSED_SHARE = 0.8;

/** The times of one stream, in seconds. */
export interface StreamTimes {
  ttft: number;
  /** Mean time between two tokens. */
  itl: number;
}

/** The streams of one request. */
export interface Round {
  streams: StreamTimes[];
  seconds: number;
  promptTokens: number;
  outputTokens: number;
}

export interface Quantiles {
  p50: number;
  p95: number;
}

/** What was measured with `streams` streams at once. */
export interface Level {
  streams: number;
  ttft: Quantiles;
  itl: Quantiles;
  /** Output tokens of all streams together. */
  tokensPerSecond: number;
  /** Mean of a prompt. */
  promptTokens: number;
}

/** `arrivals` has the seconds from the start to the first and last token of each stream. */
export function roundOf(
  arrivals: { first: number; last: number }[],
  seconds: number,
  promptTokens: number,
  outputTokens: number,
): Round {
  const gaps = Math.max(1, outputTokens / arrivals.length - 1);
  const streams = arrivals.map(({ first, last }) => ({ ttft: first, itl: (last - first) / gaps }));
  return { streams, seconds, promptTokens, outputTokens };
}

export function levelOf(streams: number, rounds: Round[]): Level {
  const times = rounds.flatMap((round) => round.streams);
  const sum = (of: (round: Round) => number) => rounds.reduce((all, round) => all + of(round), 0);
  return {
    streams,
    ttft: quantilesOf(times.map(({ ttft }) => ttft)),
    itl: quantilesOf(times.map(({ itl }) => itl)),
    tokensPerSecond: sum((round) => round.outputTokens) / sum((round) => round.seconds),
    promptTokens: sum((round) => round.promptTokens) / times.length,
  };
}

/** Each is one of `values`, by nearest rank. */
export function quantilesOf(values: number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
  return { p50: rank(0.5), p95: rank(0.95) };
}

export function meetsObjectives({ ttft, itl }: Level): boolean {
  return ttft.p95 <= OBJECTIVES.ttft && itl.p95 <= OBJECTIVES.itl;
}

export interface Proposal {
  /** Streams at once. */
  streams: number;
  requestsPerMinute: number;
  /** False if even the first level missed an objective. */
  isWithinObjectives: boolean;
}

/**
 * The largest level up to which all meet the objectives, and the requests per minute that keep that
 * many streams busy with answers of `answerTokens`. Null before anything was measured.
 */
export function proposeLimits(levels: Level[], answerTokens: number): Proposal | null {
  const firstMiss = levels.findIndex((level) => !meetsObjectives(level));
  const numGood = firstMiss === -1 ? levels.length : firstMiss;
  const level = levels[Math.max(0, numGood - 1)];
  if (!level) return null;
  const answerSeconds = level.ttft.p50 + (answerTokens - 1) * level.itl.p50;
  const possible = (60 * level.streams) / answerSeconds;
  return {
    streams: level.streams,
    requestsPerMinute: Math.max(1, Math.floor(PROPOSED_SHARE * possible)),
    isWithinObjectives: numGood > 0,
  };
}
