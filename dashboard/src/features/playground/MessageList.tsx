import { Button } from "@mantine/core";
import { useEffect, useRef } from "react";
import { ScrollRegion } from "../../components/ScrollRegion";
import { Answer } from "./Answer";
import { useCanSend, useChat } from "./ChatProvider";
import type { Message, Thread } from "./conversation";
import { Pair } from "./Pair";
import { Question } from "./Question";
import { pairOf, pathOf, slotOf } from "./thread";
import styles from "./MessageList.module.css";

const NEAR_THE_END_PIXELS = 120;

/** Scrolls along with a growing answer, unless the user has scrolled up to read. */
export function MessageList({ thread }: { thread: Thread }) {
  const list = useRef<HTMLDivElement>(null);
  const isFollowing = useRef(true);
  const path = pathOf(thread);

  useEffect(() => {
    if (list.current && isFollowing.current) list.current.scrollTop = list.current.scrollHeight;
  }, [thread.messages, path]);

  const noteScroll = () => {
    const element = list.current;
    if (!element) return;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    isFollowing.current = below < NEAR_THE_END_PIXELS;
  };

  const last = path.at(-1);
  const isWide = path.some((message) => message.role === "assistant" && message.pair !== null);
  return (
    <ScrollRegion
      ref={list}
      role="log"
      label="Messages"
      className={styles.scroll}
      onScroll={noteScroll}
    >
      <div className={styles.column} data-wide={isWide}>
        {path.map((message) => (
          // The same for all versions, so that the focus stays on the button that steps through them.
          <Shown key={message.parent} thread={thread} message={message} isLast={message === last} />
        ))}
        {last?.role === "user" && <AnswerButton />}
      </div>
    </ScrollRegion>
  );
}

interface ShownProps {
  thread: Thread;
  message: Message;
  isLast: boolean;
}

function Shown({ thread, message, isLast }: ShownProps) {
  const slot = slotOf(thread, message);
  if (message.role === "user") return <Question message={message} {...slot} />;
  const pair = pairOf(thread, message);
  if (pair.length > 1) return <Pair pair={pair} shown={message} isLast={isLast} {...slot} />;
  return <Answer answer={message} isLast={isLast} {...slot} />;
}

/** A question without an answer: its request could not be sent. */
function AnswerButton() {
  const chat = useChat();
  const canSend = useCanSend();
  return (
    <Button
      className={styles.unanswered}
      variant="default"
      size="compact-sm"
      disabled={!canSend}
      onClick={() => chat.regenerate()}
    >
      Get an answer
    </Button>
  );
}
