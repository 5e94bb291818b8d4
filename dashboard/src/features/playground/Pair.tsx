import { Button } from "@mantine/core";
import { Answer } from "./Answer";
import { useChat } from "./ChatProvider";
import type { AnswerMessage } from "./conversation";
import { describeMaking } from "./making";
import type { Slot } from "./thread";
import styles from "./Pair.module.css";

interface PairProps extends Slot {
  /** From left to right. */
  pair: AnswerMessage[];
  /** The one that the conversation goes on with. */
  shown: AnswerMessage;
  isLast: boolean;
}

const ALONE: Slot = { index: 0, count: 1, before: null, after: null };

/** Answers to the same question from two models or with two settings, each with its timings. */
export function Pair({ pair, shown, isLast, ...slot }: PairProps) {
  const makings = pair.map(({ making }) => making);
  return (
    <div className={styles.pair} role="group" aria-label="Two answers">
      {pair.map((answer, i) => {
        const isShown = answer.id === shown.id;
        return (
          <section
            key={answer.id}
            className={styles.side}
            data-shown={isShown}
            aria-label={i === 0 ? "Left answer" : "Right answer"}
          >
            <header className={styles.head}>
              <span className={styles.making}>{describeMaking(makings, i)}</span>
              <Choice id={answer.id} isShown={isShown} />
            </header>
            <Answer answer={answer} isLast={isLast && isShown} {...(isShown ? slot : ALONE)} />
          </section>
        );
      })}
    </div>
  );
}

function Choice({ id, isShown }: { id: number; isShown: boolean }) {
  const chat = useChat();
  if (isShown) return <span className={styles.chosen}>The next message follows this answer</span>;
  return (
    <Button variant="default" size="compact-xs" onClick={() => chat.choose(id)}>
      Go on with this answer
    </Button>
  );
}
