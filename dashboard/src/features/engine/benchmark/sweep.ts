/**
 * Runs a benchmark: a few completions with the user's own key, one after the other.
 *
 * A request has one prompt per stream. With a request per stream, the browser would queue all but
 * six of them, and the dashboard's own requests behind them. The ids of the requests tell other
 * dashboards that a benchmark is running.
 */

import type { Call } from "../../../api/client";
import { streamCompletions } from "../../../api/completions";
import { getRequests } from "../../../api/endpoints";
import type { RunningRequest } from "../../../api/types";
import { levelOf, LEVELS, roundOf, type Level, type Round } from "./levels";

const ID_PREFIX = "benchmark-";
const TOKENS_PER_STREAM = 48;
const MAX_ROUNDS = 3;
/** A level is repeated until this long has passed. */
const LEVEL_SECONDS = 2;
/** After a round as long as this, the next level would take too long. */
const LONGEST_ROUND_SECONDS = 20;
export const MAX_SECONDS = 90;

/** The next level was not measured, and why. */
export class SweepEnded extends Error {}

/** Sorts by the time of the start, so that of two benchmarks the later one gives way. */
export function newSweepId(now = Date.now(), random = Math.random()): string {
  return `${ID_PREFIX}${now}-${Math.floor(random * 36 ** 6).toString(36)}`;
}

/**
 * Yields each level when it has been measured. `onLevel` is told which one begins.
 *
 * Throws SweepEnded before a level that cannot be measured, and ApiError if a request is refused.
 * Aborting `call.signal` ends it, and the running request, at once.
 */
export async function* runSweep(
  call: Call,
  model: string,
  sweepId: string,
  onLevel: (streams: number) => void,
): AsyncGenerator<Level> {
  const [other] = await findOthers(call, sweepId);
  if (other) throw new SweepEnded(runningWords(other));
  for (const streams of LEVELS) {
    onLevel(streams);
    const rounds: Round[] = [];
    const secondsSoFar = () => rounds.reduce((all, round) => all + round.seconds, 0);
    while (rounds.length < MAX_ROUNDS && secondsSoFar() < LEVEL_SECONDS) {
      const others = await findOthers(call, sweepId);
      const earlier = others.find(({ request_id: id }) => id < sweepId);
      if (earlier) throw new SweepEnded(runningWords(earlier));
      rounds.push(await measure(call, model, streams, `${sweepId}-${streams}-${rounds.length}`));
    }
    yield levelOf(streams, rounds);
    if (Math.max(...rounds.map(({ seconds }) => seconds)) > LONGEST_ROUND_SECONDS) {
      throw new SweepEnded("More streams would take too long on this machine.");
    }
  }
}

function runningWords({ key_name: name }: RunningRequest): string {
  return `Another benchmark is running, with the key ${name}. Start again when it has ended.`;
}

/** The running requests of other benchmarks. */
async function findOthers(call: Call, sweepId: string): Promise<RunningRequest[]> {
  const { running } = await getRequests(call, 1);
  return running.filter(
    ({ request_id: id }) => id.startsWith(ID_PREFIX) && !id.startsWith(`${sweepId}-`),
  );
}

async function measure(
  call: Call,
  model: string,
  streams: number,
  requestId: string,
): Promise<Round> {
  const request = {
    model,
    prompt: Array.from({ length: streams }, () => newPrompt()),
    max_tokens: TOKENS_PER_STREAM,
    ignore_eos: true,
    temperature: 1,
  };
  const startedAt = performance.now();
  const seconds = () => (performance.now() - startedAt) / 1000;
  const arrivals = new Map<number, { first: number; last: number }>();
  let usage = { prompt_tokens: 0, completion_tokens: 0 };
  for await (const event of streamCompletions(call, request, requestId)) {
    if (event.kind === "usage") usage = event.usage;
    else {
      const { first } = arrivals.get(event.index) ?? { first: seconds() };
      arrivals.set(event.index, { first, last: seconds() });
    }
  }
  const { prompt_tokens: promptTokens, completion_tokens: outputTokens } = usage;
  return roundOf([...arrivals.values()], seconds(), promptTokens, outputTokens);
}

const WORDS = "river stone cloud window garden silver morning letter bridge summer".split(" ");

/** Random from its first word on, so that no part of it is in the prefix cache. */
function newPrompt(): string {
  const word = () => WORDS[Math.floor(Math.random() * WORDS.length)] ?? "";
  return `${Math.floor(Math.random() * 1e9)} ${Array.from({ length: 40 }, word).join(" ")}`;
}
