import { useDisclosure } from "@mantine/hooks";
import { useEffect, useId, useState } from "react";
import { IconChevron } from "../../components/icons";
import { Markdown } from "../../components/markdown/Markdown";
import { formatDuration } from "../../lib/units";
import type { AnswerMessage } from "./conversation";
import styles from "./Reasoning.module.css";

/** The model's reasoning, folded away: how long it took, and on a click its text. */
export function Reasoning({ answer }: { answer: AnswerMessage }) {
  const [isOpen, { toggle }] = useDisclosure(false);
  const id = useId();
  const isLive = isThinking(answer);
  return (
    <div className={styles.reasoning}>
      <button
        type="button"
        className={styles.toggle}
        aria-expanded={isOpen}
        aria-controls={id}
        onClick={toggle}
      >
        <span className={styles.chevron} data-open={isOpen}>
          <IconChevron />
        </span>
        {isLive ? <LiveTime from={answer.stats.reasoningFrom ?? 0} /> : describe(answer)}
      </button>
      <div id={id}>
        {isOpen && (
          <div className={styles.text} data-testid="reasoning-text">
            <Markdown text={answer.reasoning} isGrowing={isLive} />
          </div>
        )}
      </div>
    </div>
  );
}

/** The seconds are hidden from screen readers, which would read out each of them. */
function LiveTime({ from }: { from: number }) {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <span className={styles.live}>
      Thinking… <span aria-hidden>{Math.max(0, Math.round((now - from) / 1000))} s</span>
    </span>
  );
}

function isThinking({ state, text, calls }: AnswerMessage): boolean {
  return state === "streaming" && text === "" && calls.length === 0;
}

/** "Thought for 3 s, 41 tokens" */
function describe({ stats }: AnswerMessage): string {
  const { reasoningFrom, reasoningTo, usage } = stats;
  const seconds =
    reasoningFrom === null ? 0 : ((reasoningTo ?? reasoningFrom) - reasoningFrom) / 1000;
  const time = seconds < 1 ? "less than 1 s" : formatDuration(seconds);
  const tokens = usage?.completion_tokens_details.reasoning_tokens ?? 0;
  return `Thought for ${time}${tokens > 0 ? `, ${tokens.toLocaleString("en")} tokens` : ""}`;
}
