/** A chat with the model: streamed, measured and stored, with all sampling settings. */

import { useDisclosure } from "@mantine/hooks";
import { useEffect } from "react";
import { loadMarkdown } from "../../components/markdown/Markdown";
import { useShortcuts } from "../../lib/shortcuts";
import { activeConversation } from "./chat-state";
import { ChatHeader } from "./ChatHeader";
import { useChatState } from "./ChatProvider";
import { Composer } from "./Composer";
import { ConversationList } from "./ConversationList";
import { EmptyConversation } from "./EmptyConversation";
import { MessageList } from "./MessageList";
import { SettingsPanel } from "./SettingsPanel";
import styles from "./PlaygroundPage.module.css";

export function PlaygroundPage() {
  // On wide screens both are always visible beside the conversation.
  const [isListOpen, list] = useDisclosure(false);
  const [areSettingsOpen, settings] = useDisclosure(false);
  const close = () => {
    list.close();
    settings.close();
  };
  useShortcuts(isListOpen || areSettingsOpen ? { Escape: close } : {});
  useEffect(() => void loadMarkdown().catch(() => undefined), []);
  // Loading the stored state later would overwrite what the user has chosen or written by then.
  const isLoaded = useChatState((state) => state.isLoaded);
  if (!isLoaded) return <div className={styles.frame} aria-busy="true" />;
  return (
    <div className={styles.frame}>
      <div className={styles.page} data-covered={isListOpen || areSettingsOpen}>
        <aside className={styles.list} data-open={isListOpen} aria-label="Conversations">
          <ConversationList onOpen={list.close} />
        </aside>
        <section className={styles.chat} aria-label="Conversation">
          <ChatHeader
            isListOpen={isListOpen}
            areSettingsOpen={areSettingsOpen}
            onList={list.toggle}
            onSettings={settings.toggle}
          />
          <Messages />
          <Composer />
        </section>
        <aside className={styles.settings} data-open={areSettingsOpen} aria-label="Settings">
          <SettingsPanel />
        </aside>
        {(isListOpen || areSettingsOpen) && (
          <button type="button" className={styles.cover} aria-label="Close" onClick={close} />
        )}
      </div>
    </div>
  );
}

function Messages() {
  const conversation = useChatState(activeConversation);
  if (!conversation || conversation.messages.length === 0) return <EmptyConversation />;
  return <MessageList key={conversation.id} thread={conversation} />;
}
