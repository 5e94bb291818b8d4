import { useDisclosure } from "@mantine/hooks";
import { useId, type ReactNode } from "react";
import { decodeSpeed } from "../../lib/requests";
import { formatNumber, formatSeconds } from "../../lib/units";
import type { AnswerMessage } from "./conversation";
import { speedOf } from "./speed";
import { TimingTable } from "./TimingTable";
import styles from "./AnswerFacts.module.css";

const ENDINGS: Record<string, string> = {
  length: "stopped at max tokens",
  content_filter: "filtered",
};

interface AnswerFactsProps {
  answer: AnswerMessage;
  /** The buttons that are shown once the answer is complete. */
  children: ReactNode;
}

/** The measurements of an answer: its live speed while it streams, then all of them. */
export function AnswerFacts({ answer, children }: AnswerFactsProps) {
  const [isOpen, { toggle }] = useDisclosure(false);
  const id = useId();
  const facts = listFacts(answer);
  const isStreaming = answer.state === "streaming";
  return (
    <footer>
      <div className={styles.line}>
        {!isStreaming && <span className={styles.actions}>{children}</span>}
        {facts.length > 0 && (
          <ul className={styles.facts} aria-label="Measurements">
            {facts.map((words) => (
              <li key={words}>{words}</li>
            ))}
          </ul>
        )}
        {!isStreaming && answer.stats.requestId && (
          <button
            type="button"
            className={styles.toggle}
            aria-expanded={isOpen}
            aria-controls={id}
            onClick={toggle}
          >
            Timings
          </button>
        )}
      </div>
      <div id={id}>{isOpen && <TimingTable answer={answer} />}</div>
    </footer>
  );
}

function listFacts({ state, stats, isEdited, numContinued }: AnswerMessage): string[] {
  const { ttftSeconds, tokensPerSecond, isEstimate } = speedOf(stats);
  // For an answer that arrived at once only the service knows the speed.
  const { record } = stats;
  const speed =
    tokensPerSecond ?? (record && decodeSpeed(record.output_tokens, record.decode_seconds));
  const facts: string[] = [];
  const queue = record?.queue_seconds ?? stats.timing.queue;
  if (queue !== undefined) facts.push(`queue ${formatSeconds(queue)}`);
  if (ttftSeconds !== null) facts.push(`TTFT ${formatSeconds(ttftSeconds)}`);
  if (speed !== null) {
    const mark = isEstimate && tokensPerSecond !== null ? "≈ " : "";
    facts.push(`${mark}${formatNumber(speed)} tok/s`);
  }
  if (stats.usage) {
    const { prompt_tokens, completion_tokens, prompt_tokens_details } = stats.usage;
    const { cached_tokens, image_tokens } = prompt_tokens_details;
    const images = image_tokens ? `, ${image_tokens} of images` : "";
    facts.push(`${prompt_tokens} in (${cached_tokens} cached${images}), ${completion_tokens} out`);
  }
  if (state === "stopped" || state === "interrupted") facts.push(state);
  if (isEdited) facts.push("edited");
  if (numContinued > 0) facts.push("continued");
  const ending = ENDINGS[stats.finishReason ?? ""];
  if (ending) facts.push(ending);
  return facts;
}
