import { formatNumber, formatSeconds } from "../../lib/units";
import { speedOf, type AnswerMessage } from "./conversation";
import styles from "./AnswerFacts.module.css";

const ENDINGS: Record<string, string> = {
  length: "cut at max tokens",
  content_filter: "filtered",
};

/** What this answer cost: live speed while it streams, then the full account. */
export function AnswerFacts({ answer }: { answer: AnswerMessage }) {
  const facts = listFacts(answer);
  if (facts.length === 0) return null;
  return (
    <ul className={styles.facts} aria-label="Measurements">
      {facts.map(({ words, detail }) => (
        <li key={words} title={detail}>
          {words}
        </li>
      ))}
    </ul>
  );
}

interface Fact {
  words: string;
  detail?: string;
}

function listFacts({ state, stats }: AnswerMessage): Fact[] {
  const { ttftSeconds, tokensPerSecond, isEstimate } = speedOf(stats);
  const facts: Fact[] = [];
  if (ttftSeconds !== null) {
    facts.push({ words: `TTFT ${formatSeconds(ttftSeconds)}`, detail: timingWords(stats.timing) });
  }
  if (tokensPerSecond !== null) {
    facts.push({ words: `${isEstimate ? "≈ " : ""}${formatNumber(tokensPerSecond)} tok/s` });
  }
  if (stats.usage) facts.push(usageFact(stats.usage));
  if (state === "stopped") facts.push({ words: "stopped" });
  const ending = ENDINGS[stats.finishReason ?? ""];
  if (ending) facts.push({ words: ending });
  if (stats.requestId && state !== "streaming") {
    facts.push({ words: stats.requestId.slice(0, 12), detail: `x-request-id ${stats.requestId}` });
  }
  return facts;
}

function usageFact({
  prompt_tokens,
  completion_tokens,
  prompt_tokens_details,
}: NonNullable<AnswerMessage["stats"]["usage"]>): Fact {
  const cached = prompt_tokens_details?.cached_tokens ?? 0;
  const words = `${prompt_tokens} in (${cached} cached), ${completion_tokens} out`;
  return {
    words,
    detail: "tokens of the prompt, of these from the prefix cache, and of the answer",
  };
}

function timingWords(timing: Record<string, number>): string {
  const phases = Object.entries(timing).map(([name, s]) => `${name} ${formatSeconds(s)}`);
  return ["measured by the browser", ...phases].join("; ");
}
