import { Button } from "@mantine/core";
import { memo, useEffect } from "react";
import { IconButton } from "../../components/IconButton";
import { IconPlus, IconTrash } from "../../components/icons";
import { useNow } from "../../lib/clock";
import { useChat, useChatState } from "./ChatProvider";
import { isStreaming } from "./conversation";
import { groupByDay } from "./days";
import styles from "./ConversationList.module.css";

/** The conversations held with this key in this browser, newest first. */
export const ConversationList = memo(function ConversationList({ onOpen }: { onOpen: () => void }) {
  const chat = useChat();
  const conversations = useChatState((state) => state.conversations);
  const activeId = useChatState((state) => state.activeId);
  const keepFailure = useChatState((state) => state.keepFailure);
  const now = useNow(false);
  return (
    <nav className={styles.list} aria-label="Conversations">
      <Button
        variant="default"
        fullWidth
        leftSection={<IconPlus />}
        onClick={() => {
          chat.startNew();
          onOpen();
        }}
      >
        New conversation
      </Button>
      <div className={styles.scroll}>
        {groupByDay(conversations, now).map(({ day, conversations: group }) => (
          <section key={day} aria-label={day}>
            <h2 className={styles.day}>{day}</h2>
            <ul className={styles.entries}>
              {group.map((conversation) => (
                <Entry
                  key={conversation.id}
                  id={conversation.id}
                  title={conversation.title}
                  isLive={isStreaming(conversation.messages)}
                  isActive={conversation.id === activeId}
                  onOpen={onOpen}
                />
              ))}
            </ul>
          </section>
        ))}
      </div>
      <Removed />
      <p className={styles.note} data-tone={keepFailure ? "bad" : "plain"}>
        {keepFailure
          ? `The browser does not store conversations: ${keepFailure}`
          : "Stored only in this browser, separately for each key."}
      </p>
    </nav>
  );
});

interface EntryProps {
  id: string;
  title: string;
  /** True while an answer streams in it. */
  isLive: boolean;
  isActive: boolean;
  onOpen: () => void;
}

/** Memoized: the list is rendered again and again while an answer grows, its entries are not. */
const Entry = memo(function Entry({ id, title, isLive, isActive, onOpen }: EntryProps) {
  const chat = useChat();
  return (
    <li className={styles.entry} data-active={isActive}>
      <button
        type="button"
        className={styles.open}
        aria-current={isActive ? "true" : undefined}
        onClick={() => {
          chat.open(id);
          onOpen();
        }}
      >
        {isLive && <span className={styles.live} role="img" aria-label="Answering" />}
        <span className={styles.title}>{title}</span>
      </button>
      <span className={styles.remove}>
        <IconButton label={`Delete “${title}”`} isQuiet onClick={() => chat.remove(id)}>
          <IconTrash />
        </IconButton>
      </span>
    </li>
  );
});

const UNDO_MILLISECONDS = 12_000;

/** Deleting needs no confirmation, because it can be undone for a while. */
function Removed() {
  const chat = useChat();
  const removed = useChatState((state) => state.removed);
  useEffect(() => {
    if (!removed) return;
    const timer = setTimeout(() => chat.forgetRemoved(), UNDO_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [chat, removed]);
  return (
    <div role="status">
      {removed && (
        <div className={styles.removed}>
          <span className={styles.title}>Deleted “{removed.title}”</span>
          <Button variant="default" size="compact-xs" onClick={() => chat.undoRemove()}>
            Undo
          </Button>
        </div>
      )}
    </div>
  );
}
