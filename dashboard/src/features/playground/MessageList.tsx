import { useEffect, useRef } from "react";
import { ScrollRegion } from "../../components/ScrollRegion";
import { Answer } from "./Answer";
import type { Message } from "./conversation";
import { Question } from "./Question";
import styles from "./MessageList.module.css";

const NEAR_THE_END_PIXELS = 120;

/** Scrolls along with a growing answer, unless the user has scrolled up to read. */
export function MessageList({ messages }: { messages: Message[] }) {
  const list = useRef<HTMLDivElement>(null);
  const isFollowing = useRef(true);

  useEffect(() => {
    if (list.current && isFollowing.current) list.current.scrollTop = list.current.scrollHeight;
  }, [messages]);

  const noteScroll = () => {
    const element = list.current;
    if (!element) return;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    isFollowing.current = below < NEAR_THE_END_PIXELS;
  };

  return (
    <ScrollRegion
      ref={list}
      role="log"
      label="Messages"
      className={styles.scroll}
      onScroll={noteScroll}
    >
      <div className={styles.column}>
        {messages.map((message, i) =>
          message.role === "user" ? (
            <Question key={message.id} message={message} />
          ) : (
            <Answer key={message.id} answer={message} isLast={i === messages.length - 1} />
          ),
        )}
      </div>
    </ScrollRegion>
  );
}
