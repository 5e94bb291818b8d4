import { Button, TextInput } from "@mantine/core";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { IconButton } from "../../components/IconButton";
import { IconPlus, IconSearch, IconTrash } from "../../components/icons";
import { useNow } from "../../lib/clock";
import { useShortcuts } from "../../lib/shortcuts";
import { useChat, useChatState } from "./ChatProvider";
import { isStreaming } from "./conversation";
import { groupByDay } from "./days";
import { findConversations, type Excerpt, type Finding } from "./search";
import { TransferButtons } from "./TransferButtons";
import styles from "./ConversationList.module.css";

/** The conversations held with this key in this browser, newest first. */
export const ConversationList = memo(function ConversationList({ onOpen }: { onOpen: () => void }) {
  const chat = useChat();
  const keepFailure = useChatState((state) => state.keepFailure);
  const [query, setQuery] = useState("");
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
      <SearchField query={query} onQuery={setQuery} />
      <Found query={query} onOpen={onOpen} />
      <Removed />
      <TransferButtons />
      <p className={styles.note} data-tone={keepFailure ? "bad" : "plain"}>
        {keepFailure
          ? `The browser does not store conversations: ${keepFailure}`
          : "Stored only in this browser, separately for each key."}
      </p>
    </nav>
  );
});

function SearchField({ query, onQuery }: { query: string; onQuery: (query: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  useShortcuts({ "/": () => input.current?.focus() });
  return (
    <TextInput
      ref={input}
      type="search"
      size="xs"
      aria-label="Search conversations"
      placeholder="Search"
      leftSection={<IconSearch />}
      value={query}
      onChange={(event) => onQuery(event.currentTarget.value)}
    />
  );
}

function Found({ query, onOpen }: { query: string; onOpen: () => void }) {
  const conversations = useChatState((state) => state.conversations);
  const activeId = useChatState((state) => state.activeId);
  const now = useNow(false);
  const findings = useMemo(() => findConversations(conversations, query), [conversations, query]);
  const isSearching = query.trim() !== "";
  return (
    <div className={styles.scroll}>
      <p role="status" className={styles.count}>
        {isSearching && countWords(findings.length)}
      </p>
      {groupByDay(findings, now).map(({ day, entries }) => (
        <section key={day} aria-label={day}>
          <h2 className={styles.day}>{day}</h2>
          <ul className={styles.entries}>
            {entries.map(({ conversation: { id, title, messages }, excerpt }) => (
              <Entry
                key={id}
                id={id}
                title={title}
                isLive={isStreaming(messages)}
                isActive={id === activeId}
                excerpt={excerpt}
                onOpen={onOpen}
              />
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

function countWords(count: number): string {
  if (count === 0) return "No conversation has these words.";
  return count === 1 ? "1 conversation" : `${count} conversations`;
}

interface EntryProps {
  id: string;
  title: string;
  /** True while an answer streams in it. */
  isLive: boolean;
  isActive: boolean;
  excerpt: Finding["excerpt"];
  onOpen: () => void;
}

/** Memoized: the list is rendered again and again while an answer grows, its entries are not. */
const Entry = memo(function Entry({ id, title, isLive, isActive, excerpt, onOpen }: EntryProps) {
  const chat = useChat();
  return (
    <li className={styles.entry} data-active={isActive}>
      <button
        type="button"
        className={styles.open}
        aria-current={isActive ? "true" : undefined}
        onClick={() => {
          chat.open(id);
          // The words may be in a version that is not shown.
          if (excerpt) chat.choose(excerpt.messageId);
          onOpen();
        }}
      >
        {isLive && <span className={styles.live} role="img" aria-label="Answering" />}
        <span className={styles.title}>
          {title}
          {excerpt && <Quoted excerpt={excerpt} />}
        </span>
      </button>
      <span className={styles.remove}>
        <IconButton label={`Delete “${title}”`} isQuiet onClick={() => chat.remove(id)}>
          <IconTrash />
        </IconButton>
      </span>
    </li>
  );
});

function Quoted({ excerpt: { before, match, after } }: { excerpt: Excerpt }) {
  return (
    <span className={styles.excerpt}>
      {" "}
      {before}
      <mark>{match}</mark>
      {after}
    </span>
  );
}

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
